"""The validation tail as the ranking model is fitted to it: nothing of it is known beforehand.

The encoder must not have learned from the tail, or its score would be trusted too much; neighbours
and edges of the graph that features read are of the events before it. What is published with the
model is fitted again on everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.errors import DataError
from recsys.evaluation.composition import Stage, with_histories
from recsys.evaluation.nearness import choose_neighbours, with_only
from recsys.evaluation.protocol import ask
from recsys.evaluation.scene import scene_of
from recsys.evaluation.split import Queries, draw_users, time_at_share, time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.graph.interest_graph import InterestGraph, Unconnected
from recsys.interest.beside import NeighbourPart
from recsys.interest.model import InterestModel, ItemTable, TextTable
from recsys.interest.zero_shot import is_positive, signed_importance
from recsys.neighbours import NeighbourOptions, Neighbours
from recsys.ranker.fitting import fit_ranker
from recsys.ranker.model import Ranker
from recsys.ranker.options import RankerSettings
from recsys.ranker.samples import Samples, samples_of
from recsys.settings import InterestSettings, Settings
from recsys.shelf import Shelf


@dataclass(frozen=True)
class Encoder:
    """What scored the items before the tail."""

    items: ItemTable
    model: InterestModel
    interest: InterestSettings
    """With the model's half-lives."""
    neighbours: NeighbourPart | None = None
    """A part of its score."""
    texts: TextTable | None = None
    """What the events' words are to it."""


@dataclass(frozen=True)
class Record:
    """What a bundle may know."""

    events: EventArrays
    catalog: Catalog
    """N items."""
    graph: InterestGraph | None
    """Of the whole record; its nodes are of the encoder of the tail too."""


def ranker_of_tail(
    record: Record,
    encoder: Encoder,
    settings: Settings,
    since: float | None = None,
) -> Ranker | None:
    """The ranking model of a record.

    Args:
        record: everything that the bundle may know.
        encoder: of the events before the tail.
        settings: ``ranker``, ``ranking.validation_share``, ``retrieval.n_candidates``.
        since: where the tail begins, Unix seconds; None = by its share.

    Returns:
        None where the settings want none; the identity where nothing confirms another.
    """
    options = settings.ranker
    if options.kind == "none":
        return None
    events, interest = record.events, encoder.interest
    positive = is_positive(events.kind, events.value, interest)
    if since is None:
        try:
            since = time_at_share(events.ts, 1.0 - settings.ranking.validation_share)
        except DataError:  # there is no time from which a tail could begin
            return Ranker.identity(options, {"chosen": "encoder", "n_queries": 0})
    touches = Touches(events, settings.data.passive_kinds)
    queries = _queries(record, positive, touches, since, settings)
    if len(queries) < options.min_queries:
        told = {"n_queries": len(queries), "n_needed": options.min_queries}
        return Ranker.identity(options, {"chosen": "encoder", **told})
    scene = scene_of(
        events,
        positive,
        record.catalog,
        encoder.items,
        encoder.model,
        settings.trend.half_lives_s,
    )
    scene = replace(scene, neighbours=encoder.neighbours, texts=encoder.texts)
    graph = None if record.graph is None else _graph_before(record, interest, since)
    shelf = Shelf(
        record.catalog,
        encoder.items,
        encoder.model,
        interest,
        settings.trend,
        encoder.neighbours,
        graph,
        coldstart=settings.coldstart,
    )
    known = settings.model_copy(update={"interest": interest})
    asked = ask(events, scene, queries, touches, known)
    asked = with_histories(asked, events, interest, settings.data)
    near = _Near.of(record, positive, touches, since, interest) if _reads_near(options) else None
    like = Ranker.identity(options, {})
    early = replace(like, neighbours=None if near is None else near.before)
    n_ranked = min(settings.retrieval.n_candidates, len(record.catalog))
    found = samples_of(Stage(scene, shelf), asked, n_ranked, early)
    seed = settings.evaluation.seed
    ranker = fit_ranker(Samples(**found), options, early, seed, settings.evaluation.n_bootstrap)
    use = ranker.weights.get("cooccurrence", 0.0) != 0.0 and near is not None
    return replace(
        ranker,
        neighbours=near.whole() if use and near is not None else None,
        figures={**ranker.figures, "tail_start": since},
    )


def _reads_near(options: RankerSettings) -> bool:
    return options.fit_neighbours and "cooccurrence" in options.features


def _queries(
    record: Record,
    positive: npt.NDArray[np.bool_],
    touches: Touches,
    since: float,
    settings: Settings,
) -> Queries:
    """Questions of the tail for what is new to the user, by time."""
    whole = time_queries(record.events, positive, since)
    kept = whole.asking(~touches.is_repeat(whole))
    rng = np.random.default_rng(settings.evaluation.seed)
    return draw_users(kept, settings.ranking.n_validation_queries, rng)


def _graph_before(record: Record, interest: InterestSettings, since: float) -> InterestGraph:
    """The graph with the edges that were known before the tail."""
    graph, events = record.graph, record.events
    assert graph is not None
    begun = Unconnected(graph.centres, graph.node, graph.labels, graph.options, since)
    return begun.connected([begun.count(with_only(events, events.ts < since), interest)])


@dataclass(frozen=True)
class _Near:
    """Neighbours of the events before the tail, and what those of everything are fitted with."""

    before: Neighbours
    record: Record
    importance: npt.NDArray[np.floating[Any]]
    options: NeighbourOptions

    @classmethod
    def of(
        cls,
        record: Record,
        positive: npt.NDArray[np.bool_],
        touches: Touches,
        since: float,
        interest: InterestSettings,
    ) -> _Near:
        events = record.events
        worth = signed_importance(events.kind, events.value, interest)
        learned = events.ts < since
        queries = time_queries(events, positive, since)
        options, _ = choose_neighbours(events, worth, learned, queries, touches)
        n_items = len(record.catalog)
        before = Neighbours.fit(with_only(events, learned), worth[learned], n_items, options)
        return cls(before, record, worth, options)

    def whole(self) -> Neighbours:
        """Of everything."""
        events, n_items = self.record.events, len(self.record.catalog)
        return Neighbours.fit(events, self.importance, n_items, self.options)
