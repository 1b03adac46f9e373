"""Systems to be ahead of: popularity in windows, likeness of text, zero-shot, neighbours, peers.

What has something to choose (the weights of zero-shot, the kernels of the neighbours) chooses it on
the validation tail before the split, and is fitted on everything before the split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from recsys.encoder.projection import fit_projection
from recsys.errors import DataError
from recsys.evaluation.baselines import DECAYED_MEAN, LAST_ITEM, POPULAR_WINDOWS_S
from recsys.evaluation.fitting import fit_weights
from recsys.evaluation.nearness import choose_neighbours
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.split import Queries, time_at_share, time_queries
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot, signed_importance
from recsys.neighbours import NeighbourOptions, Neighbours, first_events
from recsys.settings import HOUR_S
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.systems import (
    Near,
    Ours,
    Popular,
    System,
    decayed_mean,
    last_item,
)

ZERO_SHOT, EASE, KNN = "zero-shot", "ease-decayed", "item-knn"
NEWS_WINDOWS_S = {
    "popular-1-hour": HOUR_S,
    "popular-6-hours": 6 * HOUR_S,
    "popular-1-day": POPULAR_WINDOWS_S["popular-1-day"],
    "popular-7-days": POPULAR_WINDOWS_S["popular-7-days"],
}

_SHRINK = 20.0


@dataclass(frozen=True)
class Fitted:
    """What the other systems learned from the events before a split; used for any queries."""

    known: Log
    zero_shot: tuple[ItemTable, ZeroShot] | None
    neighbours: Neighbours
    knn: Neighbours
    notes: dict[str, Any]


def fit_others(known: Log) -> Fitted:
    """Fit what can be fitted to the events before a split."""
    events, settings = known.events, known.settings
    worth = signed_importance(events.kind, events.value, settings.interest)
    options = NeighbourOptions()
    chosen: dict[str, Any] = {}
    try:
        since = time_at_share(events.ts, 1.0 - settings.ranking.validation_share)
        queries = time_queries(events, known.positive, since)
        learned = events.ts < since
        options, chosen = choose_neighbours(events, worth, learned, queries, known.touches)
    except DataError:  # no tail: the defaults stand
        pass
    near = Neighbours.fit(events, worth, len(known.catalog), options)
    zero, weights = _zero_shot(known)
    return Fitted(
        known=known,
        zero_shot=zero,
        neighbours=near,
        knn=item_knn(known, worth, options),
        notes={"ease": chosen, "ease_options": vars(options), "zero_shot": weights},
    )


def _zero_shot(known: Log) -> tuple[tuple[ItemTable, ZeroShot] | None, dict[str, Any]]:
    if known.text is None:
        return None, {}
    settings = known.settings
    projection = fit_projection(known.text[known.catalog.has_text], settings.encoder.n_dims)
    vectors = projection.project(known.text)
    vectors[~known.catalog.has_text] = 0.0
    weights, figures = fit_weights(known.events, vectors, known.catalog, settings)
    return (ItemTable.all_warm(vectors), ZeroShot(settings.interest, weights)), figures


def item_knn(
    known: Log, worth: npt.NDArray[np.floating[Any]], options: NeighbourOptions
) -> Neighbours:
    """Item-to-item neighbours by the shrunk cosine of who chose them.

    Args:
        known: the log.
        worth: (T,) signed importance.
        options: how evidence fades in use, and the sizes.
    """
    events, n_items = known.events, len(known.catalog)
    counted = first_events(events, worth > 0)
    cells = (np.ones(len(counted), np.float32), (events.user[counted], events.item[counted]))
    chosen = scipy.sparse.csr_matrix(cells, (len(events.user_ids), n_items))
    both = (chosen.T @ chosen).tocsr()
    norm = np.sqrt(both.diagonal())
    offsets, item, value = [0], [], []
    for row in range(n_items):
        run = slice(both.indptr[row], both.indptr[row + 1])
        other, count = both.indices[run], both.data[run]
        likeness = count / (norm[row] * norm[other] + _SHRINK)
        likeness[other == row] = 0.0
        best = np.argsort(-likeness, kind="stable")[: options.n_neighbours]
        best = np.sort(best[likeness[best] > 0.0])
        order = best[np.argsort(other[best])]
        item.append(other[order])
        value.append(likeness[order])
        offsets.append(offsets[-1] + len(order))
    lives, mix = (np.array(part, np.float64) for part in (options.half_lives_s, options.mix))
    return Neighbours(
        row=np.arange(n_items, dtype=np.int32),
        offsets=np.array(offsets, np.int64),
        item=np.concatenate(item).astype(np.int32),
        value=np.concatenate(value).astype(np.float32),
        half_lives_s=lives,
        mix=mix,
        unit=float(worth[worth > 0].mean()) if np.any(worth > 0) else 1.0,
    )


def others(
    log: Log,
    scene: Scene,
    queries: Queries,
    fitted: Fitted,
    windows_s: dict[str, float] | None = None,
) -> dict[str, System]:
    """All other systems for some queries, by name.

    Args:
        log: what is known at the queries.
        scene: everybody's positive events.
        queries: by time.
        fitted: of the events before the split.
        windows_s: of popularity.
    """
    windows = POPULAR_WINDOWS_S if windows_s is None else windows_s
    found: dict[str, System] = {name: Popular(scene, s) for name, s in windows.items()}
    if log.text is not None:
        found[LAST_ITEM] = last_item(log, queries)
        found[DECAYED_MEAN] = decayed_mean(log, queries)
    if fitted.zero_shot is not None:
        found[ZERO_SHOT] = zero_shot_system(log, queries, fitted)
    found[EASE] = Near(log, fitted.neighbours, queries)
    found[KNN] = Near(log, fitted.knn, queries)
    return found


def zero_shot_system(log: Log, queries: Queries, fitted: Fitted) -> Ours:
    """The untrained model: fixed half-lives, weights chosen on the validation tail."""
    assert fitted.zero_shot is not None
    items, model = fitted.zero_shot
    lives = log.settings.trend.half_lives_s
    scene = scene_of(log.events, log.positive, log.catalog, items, model, lives)
    return Ours(log, scene, queries, log.settings.interest)


def narrowed(log: Log, before: float) -> Log:
    """The log before a moment."""
    return log.only(log.events.ts < before)
