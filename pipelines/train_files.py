"""Users' histories as files in the store, and what a reading task does with them.

A task asks the run's pointer which phase it is in, so one stream serves all phases, and a restarted
one begins where training stands. Nothing here needs Ray or torch: reading tasks start fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.store import Store

CHUNK_EVENTS = 1 << 16
"""Events in one staged file, about."""
EPOCH = "epoch"
"""Column of the stream: which epoch a row is of."""


class Chunk(NamedTuple):
    """A staged file of rows."""

    path: str
    n_events: int


class Place(NamedTuple):
    """Where training stands."""

    phase: str
    """``pilot``, ``refit`` or ``done``."""
    candidate: int
    """Number of the pilot."""
    epoch: int
    """Epochs of the phase that are complete."""
    n_epochs: int
    """Epochs of the phase, at most."""


def place_of(pointer: Mapping[str, Any] | None, first: Place, n_epochs: int) -> Place:
    """Where a run stands by its pointer.

    Args:
        pointer: what stands in the store.
        first: where it begins, before the first checkpoint.
        n_epochs: most epochs of a pilot.
    """
    if pointer is None or not pointer["checkpoints"]:
        return first
    found = pointer["checkpoints"][0]["progress"]
    last = found["refit_epochs"] if found["phase"] == "refit" else n_epochs
    return Place(found["phase"], found["candidate"], found["epoch"], last)


def stage(store: Store, prefix: str, rows: pa.Table) -> Iterator[Chunk]:
    """Write rows (``USER_ROWS``) as files of about ``CHUNK_EVENTS`` events.

    Args:
        store: where to.
        prefix: folder in it.
        rows: of some users.
    """
    if len(rows) == 0:
        return
    ends = np.cumsum(pc.list_value_length(rows["item"]).to_numpy())
    number = (ends - 1) // CHUNK_EVENTS
    for chunk in np.unique(number):
        inside = np.flatnonzero(number == chunk)
        table = rows.slice(int(inside[0]), len(inside)).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        path = store.put_content(prefix, sink.getvalue().to_pybytes(), ".arrow")
        yield Chunk(path, int(ends[inside[-1]] - (ends[inside[0] - 1] if inside[0] else 0)))


def read_rows(store: Store, path: str) -> pa.Table:
    """The rows of one staged file."""
    return pa.ipc.open_file(pa.BufferReader(store.read(path))).read_all()


@dataclass(frozen=True)
class ReadRows:
    """Numbers of tasks -> rows of some files, in an order that each epoch draws anew."""

    store: Store
    pointer: str
    """Path of the run's pointer."""
    paths: Mapping[str, Sequence[str]]
    """Files of the phases ``pilot`` and ``refit``."""
    seed: int
    first: Place
    n_epochs: int
    """Most epochs of a pilot."""
    n_tasks: int
    """Of one epoch."""

    def __call__(self, batch: Mapping[str, npt.NDArray[np.int64]]) -> Iterator[pa.Table]:
        """The rows of ``batch["id"]``; none of epochs that are over or not wanted."""
        pa.set_cpu_count(1)
        place = place_of(self.store.read_pointer(self.pointer)[0], self.first, self.n_epochs)
        for number in batch["id"].tolist():
            epoch = number // self.n_tasks
            if place.phase in self.paths and place.epoch <= epoch < place.n_epochs:
                yield from self._epoch(place, epoch, number % self.n_tasks)

    def _epoch(self, place: Place, epoch: int, part: int) -> Iterator[pa.Table]:
        paths = self.paths[place.phase]
        code = sorted(self.paths).index(place.phase)
        rng = np.random.default_rng([self.seed, code, place.candidate, epoch])
        for at in np.array_split(rng.permutation(len(paths)), self.n_tasks)[part]:
            table = read_rows(self.store, paths[at])
            yield table.append_column(EPOCH, pa.array(np.full(len(table), epoch, np.int32)))
