"""A shelf of random items, and histories folded from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.events import EventArrays
from recsys.graph.interest_graph import InterestGraph
from recsys.graph.labels import NodeLabel
from recsys.graph.options import GraphSettings
from recsys.interest.beside import NeighbourPart
from recsys.interest.id_map import IdBytes
from recsys.interest.model import FoldBatch, InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot
from recsys.neighbours import NeighbourOptions, Neighbours
from recsys.ranker.alpha import Alpha
from recsys.ranker.model import Ranker
from recsys.ranker.options import RankerSettings
from recsys.ranking import default_weights
from recsys.reasons import history_evidence
from recsys.settings import Settings, load
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.testing.models import random_interest
from recsys.transitions import Transitions

D, N, DAY = 8, 40, 86_400.0
N_USERS, N_LOG = 30, 600
NOW = 1_700_000_000.0  # a Tuesday evening
MODELS = ("zero-shot", "learned", "with transitions", "with neighbours", "ranked", "ranked by gap")
Floats = npt.NDArray[np.float32]
Seen = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Scene:
    """What a user is scored against."""

    shelf: Shelf
    settings: Settings
    trend: Floats
    """(N, Ht)."""

    def table(self, events: FoldBatch) -> ProfileTable:
        """One user's profile, folded from nothing."""
        interest = self.settings.interest
        table = ProfileTable(D, interest, self.settings.data.kinds)
        user = table.rows(["u"], create=True)
        rows = np.repeat(user, len(events.ts))
        table.fold(rows, events, self.shelf.model, self.shelf.items)
        return table

    def evidence(self, events: FoldBatch, as_of: float, seen: Seen | None = None) -> Evidence:
        """What one user's profile says, as the pool has it."""
        table = self.table(events)
        banks, recent = table.banks(np.array([0])), table.recent(0)
        shown = table.shown.of(IdBytes.of(["u"]))
        return Evidence(
            query=self.shelf.model.query(banks, as_of),
            banks=banks,
            recent_item=recent.item,
            recent_ts=recent.ts,
            recent_importance=recent.importance,
            recent_kind=np.array([*(table.kinds[k] for k in recent.kind), None], object)[:-1],
            recent_value=recent.value,
            seen=table.seen(0) if seen is None else seen,
            shown_item=shown.item,
            shown_ts=shown.ts,
        )

    def from_record(self, events: FoldBatch, as_of: float) -> Evidence:
        """The same from the whole history."""
        return history_evidence(self.shelf, events, self.settings.data, as_of, None)

    def scores(self, evidence: Evidence, as_of: float) -> dict[int, float]:
        """The score of every item that may be shown, as a slate has it."""
        options = SlateOptions(k=N, explain="none")
        slate = make_slate(self.shelf, evidence, self.trend, as_of, options)
        return {item.row: item.score for item in slate.items}


def scene(
    name: str, seed: int, n_recent: int = 64, half_lives_s: str | None = "[60, 86400, 8640000]"
) -> Scene:
    """One of ``MODELS`` with random weights and items, some cold, young, or without vector."""
    rng = np.random.default_rng(seed)
    settings = load(
        assignments=[
            f"encoder.n_dims={D}",
            "model.n_queries=2",
            f"interest.n_recent={n_recent}",
            *([] if half_lives_s is None else [f"interest.half_lives_s={half_lives_s}"]),
        ]
    )
    vectors = rng.normal(size=(N, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[-2:] = 0.0
    interest, trend = settings.interest, settings.trend
    model: InterestModel = ZeroShot(interest, default_weights(interest, trend))
    items = ItemTable.all_warm(vectors)
    if name != "zero-shot":
        model = random_interest(settings, rng)
        items = ItemTable(vectors, np.arange(N) % 3 != 0)
    born = np.where(np.arange(N) % 4 == 0, NOW - 10.0 ** rng.uniform(3, 7, N), -np.inf)
    catalog = Catalog(
        item_ids=[f"i{n:02}" for n in range(N)],
        titles=[f"Item {n}" for n in range(N)],
        texts=[""] * N,
        categories=[tuple(f"c{c}" for c in {n % 5, n % 3}) for n in range(N)],
        available_from=born,
        available_until=np.full(N, np.inf),
    )
    graph, ranker = (_graph(items, rng), _ranker(name, rng)) if "ranked" in name else (None, None)
    more = (_beside(name, rng), graph)
    shelf = Shelf(catalog, items, model, interest, trend, *more, ranker=ranker)
    features = rng.random((N, len(trend.half_lives_s))).astype(np.float32)
    features[rng.random(N) < 0.2] = 0.0
    return Scene(shelf, settings, features)


def _beside(name: str, rng: np.random.Generator) -> NeighbourPart | None:
    if name == "with transitions":
        items = np.sort(rng.choice(N, N - 5, replace=False))
        weights = rng.normal(0.02, 0.05, (len(items), len(items))).astype(np.float32)
        return Transitions(items, N, weights, (60.0, 86_400.0, 1e7), n_recent=6)
    if name != "with neighbours":
        return None
    options = NeighbourOptions(l2=5.0, max_items=N - 5)
    return Neighbours.fit(_log(rng), np.ones(N_LOG), N, options)


def _graph(items: ItemTable, rng: np.random.Generator) -> InterestGraph:
    n = 6
    node = rng.integers(-1, n, N)
    centres = items.directions[:n]
    labels = tuple(NodeLabel(f"n{a}", (f"n{a}",), (1.0,)) for a in range(n))
    passages = rng.random((n, n)).astype(np.float32)
    mass = rng.random(n).astype(np.float32)
    return InterestGraph(centres, node, labels, passages, mass, NOW, GraphSettings())


def _ranker(name: str, rng: np.random.Generator) -> Ranker:
    options = RankerSettings(alpha="fixed" if name == "ranked" else "predicted")
    weights = {feature: float(rng.uniform(0.2, 2.0)) for feature in options.features}
    alpha = Alpha() if name == "ranked" else Alpha("predicted", (0.2, -0.3, 0.5))
    near = Neighbours.fit(_log(rng), np.ones(N_LOG), N, NeighbourOptions(l2=5.0))
    return Ranker(weights, options, alpha, neighbours=near)


def _log(rng: np.random.Generator) -> EventArrays:
    user = np.sort(rng.integers(0, N_USERS, N_LOG)).astype(np.int32)
    return EventArrays(
        user_ids=[f"u{n}" for n in range(N_USERS)],
        bounds=np.searchsorted(user, np.arange(N_USERS + 1)).astype(np.int64),
        user=user,
        item=rng.integers(0, N, N_LOG).astype(np.int32),
        kind=np.full(N_LOG, "click", object),
        ts=np.arange(N_LOG, dtype=np.float64) * 60.0,
        value=np.full(N_LOG, np.nan),
    )
