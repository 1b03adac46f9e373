"""What jobs that look back read: the whole record beside a bundle, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipelines.catalog_vectors import vectors_for
from pipelines.job import Job, progress
from pipelines.spoken import words_of
from recsys.archive import Archive
from recsys.bundle import Bundle, load_bundle
from recsys.catalog import Catalog, aligned_rows
from recsys.errors import DataError
from recsys.evaluation.scene import Asked, Scene, parts_of, scene_of, stacked
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays, event_arrays
from recsys.graph.interest_graph import InterestGraph
from recsys.interest.beside import AlignedNeighbours
from recsys.interest.zero_shot import is_positive
from recsys.ledger import open_ledger
from recsys.ranker.model import Ranker
from recsys.record import read_all
from recsys.schema import ITEMS
from recsys.settings import Settings
from recsys.shelf import Shelf
from recsys.words import texts_of

_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text"]


@dataclass(frozen=True)
class Past:
    """The record of one tenant, read through a bundle."""

    bundle: Bundle
    catalog: Catalog
    """The current items, those that the bundle lacks included."""
    events: EventArrays
    positive: npt.NDArray[np.bool_]
    """(T,) right answers."""
    scene: Scene
    touches: Touches
    settings: Settings
    """The job's, with the bundle's in the sections that a bundle fixes."""

    @cached_property
    def graph(self) -> InterestGraph | None:
        """The interests of the bundle, for the current items; None = it has none."""
        if self.bundle.graph is None:
            return None
        return self.bundle.graph.aligned(self._rows)

    @cached_property
    def ranker(self) -> Ranker | None:
        """The ranking model of the bundle, for the current items; None = none, or not wanted."""
        if self.bundle.ranker is None or self.settings.ranker.kind == "none":
            return None
        return self.bundle.ranker.aligned(self._rows)

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        return aligned_rows(self.catalog.item_ids, self.bundle.catalog.index)


def read_events(job: Job) -> pa.Table:
    """All events of the job's tenant, archive and ledger tail; columns that replays need.

    Raises:
        DataError: if there is none.
    """
    with closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(Archive(job.store), ledger, job.tenant, columns=_COLUMNS)
    if len(table) == 0:
        raise DataError(
            f"store {job.store.uri}",
            f"holds no event of tenant {job.tenant}",
            "Run `python -m pipelines.ingest --store ... --events ...` first",
        )
    return table


def read_past(job: Job, bundle_id: str | None = None, table: pa.Table | None = None) -> Past:
    """Read the record and the current items through a bundle; new texts are encoded.

    Args:
        job: store, ledger, tenant, settings.
        bundle_id: which bundle; None = the published one.
        table: the events, where ``read_events`` was called already.
    """
    bundle = load_bundle(job.store, job.tenant, bundle_id)
    table = read_events(job) if table is None else table
    archive = Archive(job.store)
    manifest = archive.manifest()
    found = None if manifest is None else archive.items(manifest, job.tenant)
    named = pc.drop_null(pc.unique(table["item_id"])).to_pylist()
    known = ITEMS.empty_table() if found is None else found
    catalog, items = vectors_for(job, bundle, known, named)
    settings = bundle.settings_within(job.settings)
    words = words_of(job, bundle, texts_of(table, settings.interest))
    events = event_arrays(table, catalog.index, None if words is None else words.index)
    positive = is_positive(events.kind, events.value, settings.interest)
    lives = settings.trend.half_lives_s
    scene = scene_of(events, positive, catalog, items, bundle.model, lives)
    neighbours = None
    rows = aligned_rows(catalog.item_ids, bundle.catalog.index)
    if bundle.neighbours is not None:
        neighbours = AlignedNeighbours(bundle.neighbours, rows)
    return Past(
        bundle=bundle,
        catalog=catalog,
        events=events,
        positive=positive,
        scene=replace(
            scene,
            own=bundle.weights.own,
            neighbours=neighbours,
            texts=None if words is None else words.table,
            coldstart=settings.coldstart,
            segments=None if bundle.segments is None else bundle.segments.aligned(rows),
        ),
        touches=Touches(events, settings.data.passive_kinds),
        settings=settings,
    )


def shelf_of(past: Past) -> Shelf:
    """What slates of the past are made from, in the rows of the current items."""
    scene, settings = past.scene, past.settings
    return Shelf(
        catalog=past.catalog,
        items=scene.items,
        model=scene.model,
        interest=settings.interest,
        trend=settings.trend,
        neighbours=scene.neighbours,
        graph=past.graph,
        segments=scene.segments,
        coldstart=settings.coldstart,
        ranker=past.ranker,
    )


def scatter(
    title: str,
    score: Callable[..., dict[str, npt.NDArray[Any]]],
    scene: Any,
    asked: Asked,
    arguments: Sequence[Any] = (),
) -> dict[str, npt.NDArray[Any]]:
    """Score queries on all of Ray's CPUs; the scene is put in the object store once.

    Args:
        title: of the progress bar.
        score: ``score(scene, part, *arguments)``.
        scene: a ``ray.put`` reference to the ``Scene``.
        asked: the queries, by time.
        arguments: further ones.

    Returns:
        The results in the order of the queries.
    """
    n_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(num_cpus=1)(score)
    parts = parts_of(asked, 2 * n_cpus)  # twice as many as CPUs: late parts are longer
    refs = [task.remote(scene, part, *arguments) for part in parts]
    size_of = {ref: len(part) for ref, part in zip(refs, parts, strict=True)}
    with progress(title, len(asked)) as advance:
        pending = list(refs)
        while pending:
            done, pending = ray.wait(pending)
            advance(sum(size_of[ref] for ref in done))
    return stacked(ray.get(refs))
