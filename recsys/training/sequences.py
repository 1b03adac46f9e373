"""Users' histories as training reads them: rows of runs, packed without padding.

A run is one user's history, or a part of a long one with the events before it as context. A pack
is many runs one after another as flat arrays; a question is a moment of a run at which positive
events are to be predicted from what came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.events import NO_TEXT, UNKNOWN_ITEM, EventArrays
from recsys.interest.zero_shot import codes_of, is_positive, weigh
from recsys.settings import Settings
from recsys.transitions import fold_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LISTS = {
    "item": pa.int32(),
    "kind": pa.uint8(),
    "value": pa.float32(),
    "ts": pa.float64(),
    "sign": pa.int8(),
    "target": pa.bool_(),
    "text": pa.int32(),
}
USER_ROWS = pa.schema(
    [
        ("user_id", pa.string()),
        ("n_context", pa.int32()),
        ("fold", pa.int8()),
        *((name, pa.list_(kind)) for name, kind in _LISTS.items()),
    ]
)
"""One run a row: user, how many of its events are context alone, fold, and events as lists."""

_BUFFER_PACKS = 8


History = Literal["strict", "ordered"]
"""What is known at a question: events of earlier times, or earlier events by ``seq``."""


class Pack(NamedTuple):
    """U runs with T events, one run after another."""

    bounds: Ints
    """(U + 1,) offsets of the runs."""
    n_context: Ints
    """(U,) first events of each run that are no targets."""
    fold: Ints
    """(U,) ``recsys.transitions.fold_of`` the user."""
    item: npt.NDArray[np.int32]
    """(T,) catalog row; ``UNKNOWN_ITEM`` where there is none."""
    kind: npt.NDArray[np.uint8]
    """(T,) position in ``data.kinds``."""
    value: npt.NDArray[np.float32]
    """(T,) NaN where there is none."""
    ts: npt.NDArray[np.float64]
    """(T,) Unix seconds, rising in a run."""
    sign: npt.NDArray[np.int8]
    """(T,) 1 = positive evidence, -1 = negative, 0 = none."""
    target: Bools
    """(T,) what is to be predicted: see ``train.targets``."""
    text: npt.NDArray[np.int32]
    """(T,) row of the user's own words in ``Surroundings.words``; ``NO_TEXT`` = none are read."""

    @property
    def run(self) -> Ints:
        """(T,) the run of each event."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


@dataclass(frozen=True)
class Questions:
    """P moments with M right answers."""

    run: Ints
    """(P,) run of the pack."""
    last: Ints
    """(P,) latest known event that is evidence; -1 = none, the user's first moment."""
    as_of: npt.NDArray[np.float64]
    """(P,) Unix seconds."""
    target_bounds: Ints
    """(P + 1,) offsets into ``target``."""
    target: npt.NDArray[np.int32]
    """(M,) catalog rows."""

    def __len__(self) -> int:
        return len(self.run)

    def pick(self, rows: Ints) -> Questions:
        """Some questions, in the given order."""
        counts = np.diff(self.target_bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        inside = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
        source = np.repeat(self.target_bounds[rows], counts) + inside
        return Questions(
            self.run[rows], self.last[rows], self.as_of[rows], bounds, self.target[source]
        )


def user_rows(events: EventArrays, settings: Settings) -> pa.Table:
    """Events as runs of ``USER_ROWS``; users stay in their order.

    Args:
        events: T events with each user's whole history.
        settings: the kinds, what is evidence, what is positive, and ``train.max_events``.
    """
    weight, negative = weigh(events.kind, events.value, settings.interest)
    passive = codes_of(events.kind, dict.fromkeys(settings.data.passive_kinds, 1), 0) == 1
    fresh = first_touches(events, passive)
    positive = is_positive(events.kind, events.value, settings.interest)
    known = events.item != UNKNOWN_ITEM
    text = np.full(len(known), NO_TEXT) if events.text is None else np.maximum(events.text, NO_TEXT)
    tells = (known | (text != NO_TEXT)) & (weight > 0)
    kinds = {kind: code for code, kind in enumerate(settings.data.kinds)}
    columns: dict[str, npt.NDArray[Any]] = {
        "item": events.item,
        "kind": codes_of(events.kind, kinds, 255).astype(np.uint8),
        "value": events.value.astype(np.float32),
        "ts": events.ts,
        "sign": np.where(tells, np.where(negative, -1, 1), 0).astype(np.int8),
        "target": positive & known & (fresh | (settings.train.targets == "all")),
        "text": text.astype(np.int32),
    }
    user, first, stop, context = _runs(events.bounds, settings.train.max_events)
    lengths = stop - first
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place += np.repeat(first, lengths)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    folds = np.array([fold_of(user_id) for user_id in events.user_ids], np.int8)
    arrays = [
        pa.array([events.user_ids[u] for u in user], pa.string()),
        pa.array(context, pa.int32()),
        pa.array(folds[user], pa.int8()),
    ]
    for name, kind in _LISTS.items():
        arrays.append(pa.ListArray.from_arrays(offsets, pa.array(columns[name][place], kind)))
    return pa.Table.from_arrays(arrays, schema=USER_ROWS)


def first_touches(events: EventArrays, passive: Bools) -> Bools:
    """(T,) whether an event is the user's first of that item that is not passive."""
    known = np.flatnonzero((events.item != UNKNOWN_ITEM) & ~passive)
    key = events.user[known].astype(np.int64) << 32 | events.item[known].astype(np.int64)
    fresh = np.zeros(len(events), bool)
    fresh[known[np.unique(key, return_index=True)[1]]] = True
    return fresh


def pack(rows: pa.Table) -> Pack:
    """All runs of a table as one pack."""
    columns = {name: rows[name].combine_chunks() for name in ("n_context", "fold", *_LISTS)}
    flat = {name: columns[name].flatten().to_numpy(zero_copy_only=False) for name in _LISTS}
    lengths = np.diff(columns["item"].offsets.to_numpy()).astype(np.int64)
    return Pack(
        bounds=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        n_context=columns["n_context"].to_numpy().astype(np.int64),
        fold=columns["fold"].to_numpy().astype(np.int64),
        **flat,
    )


def packs(
    tables: Iterable[pa.Table], n_events: int, rng: np.random.Generator | None
) -> Iterator[Pack]:
    """Runs in packs of about ``n_events`` events.

    Args:
        tables: of schema ``USER_ROWS``, any number of rows each; read as they are needed.
        n_events: a pack ends at the run that reaches it.
        rng: shuffles runs inside a buffer of a few packs; None keeps their order.
    """
    held: list[pa.Table] = []
    n_held = 0
    for table in tables:
        held.append(table)
        n_held += len(table["item"].combine_chunks().flatten())
        if n_held >= _BUFFER_PACKS * n_events:
            *whole, rest = _cut(pa.concat_tables(held), n_events, rng)
            yield from map(pack, whole)
            held, n_held = [rest], len(rest["item"].combine_chunks().flatten())
    if held:
        yield from map(pack, _cut(pa.concat_tables(held), n_events, rng))


def questions(batch: Pack, history: History, since: float = -np.inf) -> Questions:
    """The moments of a pack at which something is to be predicted.

    Args:
        batch: the runs.
        history: ``strict``: what came at an earlier time is known, and all targets of one instant
            are right answers of one question; ``ordered``: each target is a question of its own,
            and earlier events of the same instant are known.
        since: only targets from this time on.
    """
    run = batch.run
    inside = np.arange(len(run)) - batch.bounds[run] >= batch.n_context[run]
    asked = np.flatnonzero(batch.target & inside & (batch.ts >= since))
    is_start = np.ones(len(run), bool)
    is_start[1:] = (run[1:] != run[:-1]) | (batch.ts[1:] != batch.ts[:-1])
    group = np.cumsum(is_start) - 1 if history == "strict" else np.arange(len(run))
    first = np.flatnonzero(is_start) if history == "strict" else np.arange(len(run))
    groups, begins = np.unique(group[asked], return_index=True)
    event = first[groups]
    place = np.where(batch.sign != 0, np.arange(len(run)), -1)
    evidence = np.concatenate([[-1], np.maximum.accumulate(place)])  # the latest up to each event
    last = np.where(evidence[event] >= batch.bounds[run[event]], evidence[event], -1)
    bounds = np.concatenate([begins, [len(asked)]]).astype(np.int64)
    return Questions(run[event], last, batch.ts[event], bounds, batch.item[asked])


def _runs(bounds: Ints, longest: int) -> tuple[Ints, Ints, Ints, Ints]:
    """User, first and last event (exclusive) and context of each run.

    A history longer than ``longest`` is cut into runs that overlap by half: the first half of
    each run but the first is context.
    """
    size, step = np.diff(bounds), max(1, longest // 2)
    n_runs = np.where(size <= longest, 1, 1 + -(-(size - longest) // step))
    n_runs[size == 0] = 0
    user = np.repeat(np.arange(len(size)), n_runs)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(n_runs) - n_runs, n_runs)
    first = bounds[:-1][user] + nth * step
    stop = np.minimum(first + longest, bounds[1:][user])
    return user, first, stop, np.where(nth > 0, longest - step, 0)


def _cut(rows: pa.Table, n_events: int, rng: np.random.Generator | None) -> list[pa.Table]:
    if rng is not None:
        rows = rows.take(pa.array(rng.permutation(len(rows))))
    ends = np.cumsum(np.diff(rows["item"].combine_chunks().offsets.to_numpy()))
    cuts, reached = [0], 0
    for row, end in enumerate(ends.tolist()):
        if end - reached >= n_events:
            cuts.append(row + 1)
            reached = end
    if cuts[-1] < len(rows):
        cuts.append(len(rows))
    return [rows.slice(a, b - a) for a, b in pairwise(cuts)]
