"""Ranking: the score of an item is its interest part plus its trend part.

    score_i = max_q u_q . x_i + sum_j w_j * trend_ij  (+ what warm and cold items differ by)
            + sum_j f_j * 2^(-(t - born_i)/tau_j)     where the age of items matters

``u`` and ``w`` are the query of a user at a moment (``recsys.interest.model.Query``). Each item's
score is summed in one fixed order, so it does not depend on which other items there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.errors import ConfigError
from recsys.interest.model import ItemTable, Query
from recsys.interest.tiles import dots, dots_of_tiles
from recsys.settings import InterestSettings, RankingSettings, TrendSettings

Floats = npt.NDArray[np.float32]

DEFAULT_INTEREST = 4.0
DEFAULT_NEGATIVE = 1.0
DEFAULT_TREND = 1.0

PARTS = ("interest", "negative", "trend", "own")
TOLD = ("statement", "segments", "follows", "optimism")
"""Parts of a score that are read beside the events (``recsys.coldstart``), in their order."""
FURTHER = ("fresh", "neighbours", "item_side", *TOLD)


@dataclass(frozen=True)
class RankingWeights:
    """Non-negative weights of the parts of a score."""

    interest: Floats
    """(H,) one per half-life of the interest bank."""
    negative: Floats
    """(Hn,) one per half-life of the negative bank; subtracted."""
    trend: Floats
    """(Ht,) one per half-life of the trend, of log(1 + decayed popularity)."""
    own: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """(H,) one per half-life of the interest bank, of log(1 + the user's own decayed touches of the
    item): what lifts repeats where seen items may come back. Empty = no such part."""

    def __post_init__(self) -> None:
        for name in PARTS:
            values = np.asarray(getattr(self, name), dtype=np.float32)
            if values.ndim != 1 or not np.all(np.isfinite(values)) or np.any(values < 0):
                raise ConfigError(
                    f"ranking weights {name} = {values.tolist()}",
                    "are not a list of finite numbers of at least 0",
                    "Check ranking.* in the settings",
                )
            object.__setattr__(self, name, values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RankingWeights) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name).tobytes() for name in PARTS))

    def as_dict(self) -> dict[str, list[float]]:
        """The weights as JSON-ready lists."""
        return {name: [float(w) for w in getattr(self, name)] for name in PARTS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RankingWeights:
        """The inverse of ``as_dict``."""
        return cls(*(np.asarray(values.get(name, ()), np.float32) for name in PARTS))


def default_weights(interest: InterestSettings, trend: TrendSettings) -> RankingWeights:
    """Weights for a log that is too short to choose them: every half-life counts the same."""
    return RankingWeights(
        interest=_even(DEFAULT_INTEREST, len(interest.half_lives_s)),
        negative=_even(DEFAULT_NEGATIVE, len(interest.negative_half_lives_s)),
        trend=_even(DEFAULT_TREND, len(trend.half_lives_s)),
    )


def with_settings(weights: RankingWeights, settings: RankingSettings) -> RankingWeights:
    """The weights with those replaced that the settings fix.

    Raises:
        ConfigError: if a fixed list has not one weight per half-life of its bank.
    """
    chosen = {}
    for name, found in weights.as_dict().items():
        fixed = getattr(settings, name, None)
        if fixed is not None and len(fixed) != len(found):
            raise ConfigError(
                f"setting ranking.{name}",
                f"has {len(fixed)} weights, but its bank has {len(found)} half-lives",
                "Give one weight per half-life",
            )
        chosen[name] = found if fixed is None else list(fixed)
    return RankingWeights.from_dict(chosen)


def score(
    query: Query, items: ItemTable, trend_features: Floats, fresh_features: Floats | None = None
) -> Floats:
    """Scores of all given items for one query.

    Args:
        query: of one user.
        items: N items; a zero row has no interest part.
        trend_features: (N, Ht) log(1 + decayed popularity).
        fresh_features: (N, Ht) ``freshness``; None = births are not known.

    Returns:
        (N,) float32, each bit-equal whatever the other items are.
    """
    return total(parts(query, items, trend_features, fresh_features))


def parts(
    query: Query, items: ItemTable, trend_features: Floats, fresh_features: Floats | None = None
) -> dict[str, Floats]:
    """The summands of ``score``: ``{"interest": (N,), "trend": (N,)}``, and perhaps ``fresh``."""
    found = {
        "interest": interest_part(query.vectors[0], items.vectors),
        "trend": trend_part(query, items.warm, trend_features),
    }
    if fresh_features is not None:
        found["fresh"] = fresh_features @ query.fresh[0]
    return found


def total(found: Mapping[str, Floats]) -> Floats:
    """The score of parts: interest, trend and, where they are, those of ``FURTHER``, in order."""
    score = found["interest"] + found["trend"]
    for name in FURTHER:
        if name in found:
            score = score + found[name]
    return score


def interest_part(u: npt.NDArray[np.floating[Any]], vectors: Floats) -> Floats:
    """What each item (N, D) has of one user's interest.

    Args:
        u: (D,) a query vector or (Q, D) several, of which the nearest counts.
        vectors: (N, D) item vectors.

    Returns:
        (N,) float32 dot products, each summed in one fixed order.
    """
    found: Floats = interest_parts(np.atleast_2d(u)[None], vectors)[0]
    return found


def interest_parts(u: npt.NDArray[np.floating[Any]], vectors: Floats) -> Floats:
    """``interest_part`` of B users, whose query vectors are (B, D) or (B, Q, D): (B, N) float32."""
    flat = _flat(u, vectors.shape[1])
    return _nearest(dots(flat, np.ascontiguousarray(vectors, dtype=np.float32)), len(u))


def whole_interest_part(u: npt.NDArray[np.floating[Any]], items: ItemTable) -> Floats:
    """``interest_part`` of all items of a table, bit for bit; from their tiles, which are kept."""
    flat = _flat(np.atleast_2d(u)[None], items.n_dims)
    found: Floats = _nearest(dots_of_tiles(flat, items.tiles, len(items)), 1)[0]
    return found


def _flat(u: npt.NDArray[np.floating[Any]], n_dims: int) -> Floats:
    u = np.ascontiguousarray(u, dtype=np.float32)
    flat = u.reshape(-1, u.shape[-1])
    if flat.shape[1] != n_dims:
        raise ValueError(f"queries have {flat.shape[1]} dimensions, items {n_dims}")
    return flat


def _nearest(found: Floats, n: int) -> Floats:
    """(n, N) the best of each user's queries."""
    if len(found) == n:
        return found
    nearest: Floats = found.reshape(n, -1, found.shape[1]).max(axis=1)
    return nearest


def trend_part(query: Query, warm: npt.NDArray[np.bool_], trend_features: Floats) -> Floats:
    """What each item's trend is to one user.

    Args:
        query: of one user.
        warm: (N,) which items' trend weighs as that of warm items.
        trend_features: (N, Ht).

    Returns:
        (N,) float32 weighted sums, each in the order of the half-lives.
    """
    found: Floats = trend_parts(query, warm, trend_features)[0]
    return found


def trend_parts(query: Query, warm: npt.NDArray[np.bool_], trend_features: Floats) -> Floats:
    """``trend_part`` of B users: (B, N) float32."""
    if query.warm_trend.shape[1] != trend_features.shape[1]:
        have, want = trend_features.shape[1], query.warm_trend.shape[1]
        raise ValueError(f"trend features have {have} half-lives, their weights {want}")
    weights = np.stack([query.cold_trend, query.warm_trend], axis=1)
    nothing = np.zeros_like(query.cold_offset)
    offset = np.stack([query.cold_offset, nothing, query.new_offset], axis=1)
    total = np.zeros((len(weights), len(trend_features)), np.float32)
    _weigh_trend(trend_features, warm, weights, offset.astype(np.float32), total)
    return total


def top_k(
    scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_], k: int
) -> npt.NDArray[np.int64]:
    """Positions of the best allowed scores, best first; of equals the lower position first.

    Args:
        scores: (N,) larger is better.
        allowed: (N,) False = no candidate.
        k: most positions returned.

    Returns:
        (min(k, number allowed),) int64.
    """
    out = np.empty(k, np.int64)
    n = _top_k(np.ascontiguousarray(scores), allowed, out, np.empty(k, scores.dtype))
    return out[:n]


def _even(total: float, n: int) -> Floats:
    return np.full(n, total / n, np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weigh_trend(
    features: Floats, warm: npt.NDArray[np.bool_], weights: Floats, offset: Floats, out: Floats
) -> None:
    """``weights`` (B, 2, Ht) of cold and of warm items, ``offset`` (B, 3), the last of new ones."""
    for b in range(out.shape[0]):
        for i in range(features.shape[0]):
            row = 1 if warm[i] else 0
            total, is_new = np.float32(0.0), True
            for j in range(features.shape[1]):
                total += weights[b, row, j] * features[i, j]
                is_new &= features[i, j] == 0.0
            out[b, i] = offset[b, 2] if is_new and not warm[i] else total + offset[b, row]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _top_k(
    scores: npt.NDArray[Any],
    allowed: npt.NDArray[np.bool_],
    out: npt.NDArray[np.int64],
    best: npt.NDArray[Any],
) -> int:
    """One pass; a score that beats the worst kept one is inserted at its place."""
    k = len(out)
    n = 0
    for i in range(len(scores)):
        if not allowed[i] or (n == k and not scores[i] > best[n - 1]):
            continue
        place = n if n < k else k - 1
        while place > 0 and scores[i] > best[place - 1]:
            best[place], out[place] = best[place - 1], out[place - 1]
            place -= 1
        best[place], out[place] = scores[i], i
        n = min(n + 1, k)
    return n
