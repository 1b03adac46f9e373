"""Small catalogs, and rankings of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.catalog import Catalog
from recsys.coldstart.options import ColdstartSettings, OptimismSettings
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import RankingWeights
from recsys.reranking.base import Ranked
from recsys.settings import InterestSettings, TrendSettings
from recsys.shelf import Evidence, Shelf
from recsys.sources.base import Asked

DAY = 86_400.0
NOW = 1_000 * DAY


def shelf_of(rng: np.random.Generator, n: int = 60, n_dims: int = 8, n_kinds: int = 6) -> Shelf:
    """n items in 0 to 3 of the categories each, of one of four brands or none."""
    vectors = rng.normal(size=(n, n_dims)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = [f"kind-{c}" for c in range(n_kinds)]
    brands = rng.integers(0, 5, n)
    catalog = Catalog(
        item_ids=[f"item-{i:04}" for i in range(n)],
        titles=[f"Item {i}" for i in range(n)],
        texts=[""] * n,
        categories=[tuple(rng.choice(kinds, rng.integers(0, 4), replace=False)) for _ in range(n)],
        available_from=np.where(rng.random(n) < 0.3, -np.inf, NOW - 9 * DAY * rng.random(n)),
        available_until=np.full(n, np.inf),
        attributes=[{"brand": f"b{b}"} if b < 4 else {} for b in brands],
    )
    weights = RankingWeights(np.ones(2), np.ones(1), np.array([0.0, 1.0]))
    interest = InterestSettings(half_lives_s=(DAY, 30 * DAY), negative_half_lives_s=(DAY,))
    trend = TrendSettings(half_lives_s=(DAY, 9 * DAY))
    items = ItemTable.all_warm(vectors)
    cold = ColdstartSettings(optimism=OptimismSettings(weight=0.0))
    model = ZeroShot(interest, weights)
    return Shelf(catalog, items, model, interest, trend, coldstart=cold)


def evidence_of(shelf: Shelf, rng: np.random.Generator, n: int = 12) -> Evidence:
    """Recent events of random items, more impressions, and a query."""
    item = rng.integers(-1, len(shelf.catalog), n)
    vectors = rng.normal(size=(1, 1, shelf.items.n_dims)).astype(np.float32)
    return Evidence(
        query=shelf.nobody._replace(vectors=vectors),
        recent_item=item,
        recent_ts=NOW - 20 * DAY * rng.random(n),
        recent_importance=rng.choice([1.0, 2.0, -1.0], n),
        recent_kind=np.array(["click"] * n, object),
        recent_value=np.full(n, np.nan),
        seen=np.unique(item[item >= 0]),
        shown_item=rng.integers(-1, len(shelf.catalog), 9 * n),
        shown_ts=NOW - 20 * DAY * rng.random(9 * n),
    )


def asked_of(shelf: Shelf, evidence: Evidence | None = None, **more: Any) -> Asked:
    """A question; everything may be shown."""
    n = len(shelf.catalog)
    evidence = Evidence(shelf.nobody) if evidence is None else evidence
    features = np.zeros((n, 2), np.float32)
    return Asked(shelf, evidence, features, NOW, np.ones(n, np.bool_), **more)


def ranked_of(rng: np.random.Generator, n_items: int, n: int | None = None) -> Ranked:
    """Distinct rows by falling scores, each of two parts and some sources."""
    rows = rng.permutation(n_items)[: n_items if n is None else n]
    parts = {name: rng.normal(size=len(rows)).astype(np.float32) for name in ("interest", "trend")}
    scores = parts["interest"] + parts["trend"]
    found_by = rng.integers(1, 4, len(rows))
    ranked = Ranked(rows.astype(np.int64), scores, parts, found_by, ("interest", "trend"))
    return ranked.pick(np.argsort(-scores, kind="stable"))


def cosines(vectors: np.ndarray) -> np.ndarray:
    """(n, n) of unit rows, in double precision."""
    exact = vectors.astype(np.float64)
    return exact @ exact.T
