"""The stream that feeds training workers: users' histories, epoch after epoch (Ray Data).

    staged files in a new order each epoch -> small blocks -> shared by the workers, in fixed order

All epochs of a phase are one stream, so none waits for a start. What a worker receives is cut into
small blocks and few are read ahead: its memory does not depend on the log's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import ray.data
import ray.train
from ray.data import ExecutionOptions, TaskPoolStrategy

from pipelines.train_files import CHUNK_EVENTS, EPOCH, Chunk, Place, ReadRows
from pipelines.train_phases import PILOT, REFIT, Progress
from pipelines.train_run import Run
from recsys.settings import Settings
from recsys.training.sequences import USER_ROWS, Pack

ROWS = "rows"
"""Name of the one data set that Ray Train shares among the workers."""
BLOCK_BYTES = 1 << 20
"""Largest block that a worker receives, about."""
AHEAD_BYTES = 32 << 20
"""Of blocks that were read ahead of the workers."""
EPOCH_TASKS = 128
"""Most tasks of one epoch."""


def stream(
    run: Run, settings: Settings, first: Progress, chunks: Mapping[str, Sequence[Chunk]]
) -> ray.data.Dataset:
    """The rows of the phase that a run is in; iterated anew, those of the phase it is in then.

    Args:
        run: says where training stands.
        settings: of training.
        first: where training begins.
        chunks: staged files, ``pilot`` and ``whole``.
    """
    train = settings.train
    n_events = sum(chunk.n_events for chunk in chunks["whole"])
    n_tasks = max(1, min(EPOCH_TASKS, max(4 * train.max_workers, n_events // CHUNK_EVENTS)))
    n_tasks = min(n_tasks, len(chunks["whole"]))
    task = ReadRows(
        store=run.store,
        pointer=run.pointer,
        paths={
            PILOT: [chunk.path for chunk in chunks["pilot"]],
            REFIT: [chunk.path for chunk in chunks["whole"]],
        },
        seed=train.seed,
        first=Place(first.phase, first.candidate, first.epoch, first.n_epochs(train)),
        n_epochs=train.n_epochs,
        n_tasks=n_tasks,
    )
    n_blocks = train.n_epochs * n_tasks
    numbers = [{"id": number} for number in range(n_blocks)]
    ds = ray.data.from_items(numbers, override_num_blocks=n_blocks)
    ds.context.target_max_block_size = BLOCK_BYTES
    at_once = TaskPoolStrategy(size=min(2, n_blocks))  # no CPU of their own: workers may take all
    return ds.map_batches(task, batch_size=None, num_cpus=0, compute=at_once)


class EvenSplit(ray.train.DataConfig):  # type: ignore[misc]
    """A stream shared by the workers in a fixed order, and not a row left out."""

    def __init__(self) -> None:
        options = ExecutionOptions(preserve_order=True)
        options.resource_limits = options.resource_limits.copy(object_store_memory=AHEAD_BYTES)
        super().__init__(execution_options=options, enable_shard_locality=False)

    def configure(self, datasets: Any, world_size: int, *_: Any, **__: Any) -> Any:
        """One iterator per data set and worker."""
        output: list[dict[str, Any]] = [{} for _ in range(world_size)]
        for name, given in datasets.items():
            ds = given.copy(given)
            ds.context.execution_options = self._resolve_execution_options(name)
            for rank, split in enumerate(ds.streaming_split(world_size, equal=False)):
                output[rank][name] = split
        return output


class Epochs:
    """Tables of a stream, epoch by epoch.

    Args:
        tables: with a column ``epoch`` that never falls; constant in each table.
    """

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._held: pa.Table | None = None

    def of(self, epoch: int) -> Iterator[pa.Table]:
        """The tables of one epoch; those of earlier ones are passed over."""
        while True:
            table = self._held if self._held is not None else next(self._tables, None)
            self._held = None
            if table is None:
                return
            number = int(table[EPOCH][0].as_py()) if len(table) else epoch - 1
            if number > epoch:
                self._held = table
                return
            if number == epoch:
                yield table.select(USER_ROWS.names)


def left_of(packs: Iterator[Pack], progress: Progress, n_workers: int) -> Iterator[Pack]:
    """What a worker has yet to learn from in an epoch that was interrupted.

    As many workers as before have the same packs again, and pass over one for each step. Where
    their number has changed, packs are others, and each passes over its share of the events.

    Args:
        packs: this worker's, from the beginning of the epoch.
        progress: when the epoch was interrupted.
        n_workers: that go on.
    """
    if progress.n_workers == n_workers:
        return islice(packs, progress.step, None)
    left = progress.events / n_workers
    for found in packs:
        if left < len(found.item) / 2:
            return chain([found], packs)
        left -= len(found.item)
    return packs
