"""Predicted ratings: how far a point-in-time bias predictor is off, beside plain running means.

    predicted = mean + c_i (mean_i - mean) + c_u left_u        c = mass / (mass + damping)

``mean`` is that of all ratings, ``mean_i`` that of the item's, and ``left_u`` that of what the
user's ratings had left over the first two when they were made. Each is ``S / mass`` of the additive
decayed state, and an offset fades as its mass does. Only strictly earlier ratings count: those of
one instant do not see each other. The sum is clipped to the range of the ratings seen so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.metrics import mae, rmse
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.settings import DAY_S, EvaluationSettings

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RATING = "rating"
BIAS = "damped-bias"
GLOBAL_MEAN = "running-mean"
ITEM_MEAN = "running-item-mean"

ITEM_DAMPING, USER_DAMPING = 5.0, 5.0
"""Mass at which an offset counts half."""
HALF_LIVES_S = (math.inf, 365 * DAY_S, 90 * DAY_S, 30 * DAY_S, 7 * DAY_S, DAY_S)
"""What the predictor's half-life is chosen from, on the past of the split."""
TAIL_SHARE = 0.2
"""Share of the ratings before the split, the latest, on which it is chosen."""


@dataclass(frozen=True)
class Predicted:
    """Q ratings as they came, by time, and what each system had expected."""

    offset: Ints
    """(Q,) positions in the events."""
    observed: Floats
    """(Q,) ratings."""
    systems: dict[str, Floats]
    """name -> (Q,) predictions."""
    half_life_s: float
    """Of the predictor's evidence; inf = it does not fade."""


def rating_figures(
    events: EventArrays, start: float | None, settings: EvaluationSettings
) -> dict[str, Any] | None:
    """RMSE and MAE of predicted ratings from the split on, with intervals over users.

    Args:
        events: the whole log.
        start: Unix seconds of the split; None = leave-one-out, where no rating is predicted.
        settings: resamples, seed, and ``max_queries``: more users than that are drawn from.

    Returns:
        ``n_ratings``, ``n_ratings_drawn``, ``n_users``, ``half_life_s`` (None = no decay),
        ``systems`` {name: {"rmse" or "mae": {mean, low, high}}}, and ``comparisons`` {name: {mean,
        low, high, p}}: squared error of the predictor less theirs, paired. None where the log has
        no rating to predict.
    """
    found = None if start is None else predict_ratings(events, start)
    if found is None:
        return None
    rng = np.random.default_rng(settings.seed)
    user = events.user[found.offset]
    drawn = np.isin(user, rng.permutation(np.unique(user))[: settings.max_queries])
    observed = found.observed[drawn]
    expected = {name: values[drawn] for name, values in found.systems.items()}
    squared = {name: np.square(values - observed) for name, values in expected.items()}
    bootstrap = UserBootstrap(user[drawn], settings.n_bootstrap, rng)

    def rmse_interval(name: str) -> dict[str, float]:
        whole = bootstrap.interval(squared[name]).as_dict()
        root = {end: math.sqrt(value) for end, value in whole.items()}
        return {**root, "mean": rmse(expected[name], observed)}

    def mae_interval(name: str) -> dict[str, float]:
        whole = bootstrap.interval(np.abs(expected[name] - observed)).as_dict()
        return {**whole, "mean": mae(expected[name], observed)}

    return {
        "n_ratings": len(drawn),
        "n_ratings_drawn": len(observed),
        "n_users": bootstrap.n_users,
        "half_life_s": found.half_life_s if math.isfinite(found.half_life_s) else None,
        "systems": {
            name: {"rmse": rmse_interval(name), "mae": mae_interval(name)} for name in expected
        },
        "comparisons": {
            name: bootstrap.compare(squared[BIAS], squared[name])
            for name in expected
            if name != BIAS
        },
    }


def predict_ratings(
    events: EventArrays, start: float, half_life_s: float | None = None
) -> Predicted | None:
    """What each system expects of every rating from ``start`` on, from strictly earlier ones.

    Args:
        events: the whole log; ratings are its events of kind ``rating`` with a value.
        start: Unix seconds of the split.
        half_life_s: of the predictor's evidence; inf = it does not fade; None = the one of
            ``HALF_LIVES_S`` that is best on the latest ratings before the split.

    Returns:
        The ratings that have any other one before them; None if there is none.

    Raises:
        ValueError: if the half-life is not positive.
    """
    if half_life_s is not None and not half_life_s > 0:
        raise ValueError(f"half_life_s = {half_life_s!r} must be positive")
    log = _Log.of(events)
    expected = log.expected(math.inf)
    asked = (log.ts >= start) & np.isfinite(expected[:, 0])
    if not asked.any():
        return None
    chosen = _best_half_life(log, start) if half_life_s is None else half_life_s
    bias = expected[:, 2] if math.isinf(chosen) else log.expected(chosen)[:, 2]
    return Predicted(
        offset=log.offset[asked],
        observed=log.value[asked],
        systems={
            BIAS: bias[asked],
            ITEM_MEAN: expected[asked, 1],
            GLOBAL_MEAN: expected[asked, 0],
        },
        half_life_s=chosen,
    )


@dataclass(frozen=True)
class _Log:
    """R ratings by time; ``offset`` is where they stand in the events."""

    offset: Ints
    user: Ints
    item: Ints
    ts: Floats
    value: Floats

    @classmethod
    def of(cls, events: EventArrays) -> _Log:
        is_rating = (events.kind == RATING) & np.isfinite(events.value)
        found = np.flatnonzero(is_rating & (events.item != UNKNOWN_ITEM))
        offset = found[np.argsort(events.ts[found], kind="stable")]
        user, item = (x[offset].astype(np.int64) for x in (events.user, events.item))
        return cls(offset, user, item, events.ts[offset], events.value[offset])

    def expected(self, half_life_s: float) -> Floats:
        """(R, 3) mean, item mean and bias prediction of each rating; NaN where none came before."""
        out = np.full((len(self.ts), 3), np.nan)
        n_items = int(self.item.max(initial=-1)) + 1
        state = np.zeros((1 + n_items + int(self.user.max(initial=-1)) + 1, 3))
        rows = np.stack([np.zeros_like(self.item), 1 + self.item, 1 + n_items + self.user], axis=1)
        _replay(out, state, rows, (self.ts, self.value), math.log(2.0) / half_life_s)
        return out


def _best_half_life(log: _Log, start: float) -> float:
    """The half-life of least squared error on the latest ratings before the split."""
    n_before = int(np.searchsorted(log.ts, start))
    tail = slice(n_before - int(TAIL_SHARE * n_before), n_before)
    best, least = math.inf, math.inf
    for half_life_s in HALF_LIVES_S:
        error = rmse(log.expected(half_life_s)[tail, 2], log.value[tail])
        if error < least:  # never so where nothing is known
            best, least = half_life_s, error
    return best


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _replay(
    out: Floats, state: Floats, rows: Ints, log: tuple[Floats, Floats], rate: float
) -> None:
    """Fill ``out``, instant by instant: all its ratings are foretold before any is added.

    Args:
        out: (R, 3) of NaN: mean, item mean, prediction.
        state: (keys, 3) of zeros: sum and mass as of a time.
        rows: (R, 3) the states of the log, the item and the user of each rating.
        log: ts (R,) rising, and value (R,).
        rate: ln 2 / half-life, per second; 0 = no decay.
    """
    ts, value = log
    left = np.zeros(len(ts))  # of each rating, over the log's and the item's part
    low, high = np.inf, -np.inf
    begin = 0
    for end in range(1, len(ts) + 1):
        if end < len(ts) and ts[end] == ts[begin]:
            continue
        for j in range(begin, end):
            if begin > 0:
                mean = state[0, 0] / state[0, 1]
                item, user = state[rows[j, 1]], state[rows[j, 2]]
                level = mean + _offset(item, mean, ts[j], rate, ITEM_DAMPING)
                bias = level + _offset(user, 0.0, ts[j], rate, USER_DAMPING)
                out[j, 0] = mean
                out[j, 1] = item[0] / item[1] if item[1] > 0.0 else mean
                out[j, 2] = min(max(bias, low), high)
                left[j] = value[j] - level
        for j in range(begin, end):
            _add(state[rows[j, 0]], value[j], ts[j], rate)
            _add(state[rows[j, 1]], value[j], ts[j], rate)
            if begin > 0:
                _add(state[rows[j, 2]], left[j], ts[j], rate)
            low, high = min(low, value[j]), max(high, value[j])
        begin = end


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _offset(state: Floats, mean: float, ts: float, rate: float, damping: float) -> float:
    """What a key's own mean (3,) adds to ``mean``, by how much of its mass is left."""
    if state[1] == 0.0:
        return 0.0
    mass = state[1] * math.exp(-(ts - state[2]) * rate)
    offset: float = mass / (mass + damping) * (state[0] / state[1] - mean)
    return offset


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add(state: Floats, value: float, ts: float, rate: float) -> None:
    """Decay a state (3,) to ``ts`` and add one rating; its mean stands still under decay alone."""
    kept = math.exp(-(ts - state[2]) * rate) if state[1] > 0.0 else 0.0
    state[0] = state[0] * kept + value
    state[1] = state[1] * kept + 1.0
    state[2] = ts
