"""How loud item profiles (``recsys.item_side``) are is chosen on a validation tail, by NDCG@10.

The model has learned from what came before the tail. Every query of the tail is scored as a slate
is, with each of a few half-lives and strengths; silence is the first of them, and wins a tie.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from recsys.catalog import Catalog
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.protocol import OURS, ask, walk_ours
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import Asked, Scene, scene_of
from recsys.evaluation.split import draw_queries, time_at_share, time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import is_positive
from recsys.item_side import ItemSideOptions, ItemSideReplay, takers_of
from recsys.settings import Settings
from recsys.training.export import Exported

STRENGTHS = (0.05, 0.1, 0.2, 0.4)
MIN_QUERIES = 50
"""Fewer queries than this choose silence."""
_K = 10


def choose_item_side(
    events: EventArrays, catalog: Catalog, pilot: Exported, settings: Settings
) -> tuple[ItemSideOptions | None, dict[str, Any]]:
    """Choose half-life and strength.

    Args:
        events: all that may be known, the tail included.
        catalog: N items.
        pilot: the model that has learned from the events before the tail.
        settings: of its training; the half-lives of the trend are tried.

    Returns:
        None where silence is best; and ``n_queries`` and ``ndcg10`` by half-life and strength.
    """
    positive = is_positive(events.kind, events.value, settings.interest)
    settings = settings.model_copy(update={"interest": pilot.interest})
    since = time_at_share(events.ts, 1.0 - settings.ranking.validation_share)
    touches = Touches(events, settings.data.passive_kinds)
    queries = time_queries(events, positive, since)
    kept = queries.asking(~touches.is_repeat(queries))
    if len(kept) < MIN_QUERIES:
        return None, {"n_queries": len(kept), "ndcg10": {}}
    rng = np.random.default_rng(settings.evaluation.seed)
    kept = draw_queries(kept, settings.ranking.n_validation_queries, rng)
    items, lives = ItemTable(pilot.vectors, pilot.warm), settings.trend.half_lives_s
    scene = scene_of(events, positive, catalog, items, pilot.model, lives)
    scene = replace(scene, neighbours=pilot.transitions)
    asked = ask(events, scene, kept, touches, settings)
    takers = takers_of(events, positive, pilot.model, items, settings.interest)
    sides = [ItemSideReplay(takers, scene.n_items, ItemSideOptions(h, 1.0)) for h in lives]
    found = _ndcg(scene, asked, sides)
    names = ["silence", *(f"{h:g} s x {s:g}" for h in lives for s in STRENGTHS)]
    figures = {"n_queries": len(asked), "ndcg10": dict(zip(names, found.tolist(), strict=True))}
    best = int(np.argmax(found))
    if best == 0:
        return None, figures
    life, strength = divmod(best - 1, len(STRENGTHS))
    return ItemSideOptions(lives[life], STRENGTHS[strength]), figures


def _ndcg(scene: Scene, asked: Asked, sides: list[ItemSideReplay]) -> Any:
    """(1 + half-lives x strengths,) mean NDCG@10, silence first."""
    bounds = asked.queries.target_bounds
    spans = list(pairwise(bounds.tolist()))
    ranks, n_candidates = [], np.zeros(len(asked), np.int64)
    for q, scores, allowed in walk_ours(scene, asked):
        target = asked.queries.target[slice(*spans[q])]
        tried = [scores]
        for side in sides:
            side.advance_to(float(asked.queries.as_of[q]))
            part = side.part(asked.u[OURS].vectors[q])
            tried += [scores + np.float32(strength) * part for strength in STRENGTHS]
        ranks.append(np.stack([ranks_of(some, allowed, target) for some in tried]))
        n_candidates[q] = allowed.sum() + (~allowed[target]).sum()
    whole = np.concatenate(ranks, axis=1)
    return np.array([accuracy(r, bounds, n_candidates, _K)["ndcg"].mean() for r in whole])
