from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from recsys.evaluation.metrics import mae, rmse
from recsys.evaluation.ratings import (
    BIAS,
    GLOBAL_MEAN,
    HALF_LIVES_S,
    ITEM_DAMPING,
    ITEM_MEAN,
    USER_DAMPING,
    predict_ratings,
    rating_figures,
)
from recsys.events import UNKNOWN_ITEM, EventArrays, event_arrays
from recsys.settings import DAY_S, EvaluationSettings
from recsys.testing.fakes import tiny_log

ITEMS = {name: row for row, name in enumerate("abcde")}
SETTINGS = EvaluationSettings(n_bootstrap=50)
FloatsByEvent = Mapping[int, float] | npt.NDArray[np.float64]
Row = tuple[str, str | None, str, float]


def _log(rng: np.random.Generator, n: int = 120, spread: int = 40) -> EventArrays:
    """Ratings of few users and items, many in one instant, with other events among them."""
    ts = rng.integers(0, spread, n) * DAY_S - 10 * DAY_S  # some before 1970
    kinds = rng.choice(["rating", "rating", "rating", "click"], n)
    rows: list[Row] = [
        (f"u{rng.integers(6)}", "abcde"[rng.integers(5)], kind, float(t))
        for kind, t in zip(kinds, ts, strict=True)
    ]
    values = {row: float(rng.integers(1, 6)) for row in range(n) if row % 17 != 0}
    return event_arrays(tiny_log(rows, values), ITEMS)


def _mean(events: EventArrays, some: list[int], value: FloatsByEvent, half_life_s: float) -> float:
    """Weighted by age; the newest weighs 1, whatever its age: only ratios matter."""
    newest = max(events.ts[e] for e in some)
    weights = [0.5 ** ((newest - events.ts[e]) / half_life_s) for e in some]
    return float(np.average([value[e] for e in some], weights=weights))


def _trust(
    events: EventArrays, some: list[int], j: int, half_life_s: float, damping: float
) -> float:
    mass = sum(0.5 ** (float(events.ts[j] - events.ts[e]) / half_life_s) for e in some)
    return float(mass / (mass + damping))


def _slow(events: EventArrays, start: float, half_life_s: float) -> dict[int, tuple[float, ...]]:
    """Offset -> (mean, item mean, bias), each from scratch over what was strictly earlier."""
    rated = [
        j
        for j in np.lexsort((np.arange(len(events)), events.ts))
        if events.kind[j] == "rating" and not np.isnan(events.value[j])
    ]
    left: dict[int, float] = {}
    found = {}
    for j in rated:
        past = [e for e in rated if events.ts[e] < events.ts[j]]
        if len(past) == 0:
            continue
        same_item = [e for e in past if events.item[e] == events.item[j]]
        same_user = [e for e in past if events.user[e] == events.user[j] and e in left]
        level = _mean(events, past, events.value, half_life_s)
        if same_item:
            own = _mean(events, same_item, events.value, half_life_s)
            level += _trust(events, same_item, j, half_life_s, ITEM_DAMPING) * (own - level)
        bias = level
        if same_user:
            own = _mean(events, same_user, left, half_life_s)
            bias += _trust(events, same_user, j, half_life_s, USER_DAMPING) * own
        left[j] = float(events.value[j]) - level
        plain = _mean(events, past, events.value, math.inf)
        seen = events.value[past]
        found[j] = (
            plain,
            _mean(events, same_item, events.value, math.inf) if same_item else plain,
            float(np.clip(bias, seen.min(), seen.max())),
        )
    return {j: x for j, x in found.items() if events.ts[j] >= start}


@pytest.mark.parametrize("half_life_s", [math.inf, 5 * DAY_S, 0.01 * DAY_S])
@pytest.mark.parametrize("start", [-np.inf, 12 * DAY_S])
def test_every_prediction_is_that_of_the_slow_definition(
    rng: np.random.Generator, half_life_s: float, start: float
) -> None:
    events = _log(rng)
    found = predict_ratings(events, start, half_life_s)
    assert found is not None
    slow = _slow(events, start, half_life_s)
    assert sorted(found.offset) == sorted(slow)
    for place, (system, values) in enumerate(
        (name, found.systems[name]) for name in (GLOBAL_MEAN, ITEM_MEAN, BIAS)
    ):
        expected = [slow[j][place] for j in found.offset]
        np.testing.assert_allclose(values, expected, rtol=1e-9, err_msg=system)
    np.testing.assert_array_equal(found.observed, events.value[found.offset])


def test_later_events_change_no_earlier_prediction(rng: np.random.Generator) -> None:
    events = _log(rng, 200)
    later = events.ts > 20 * DAY_S
    changed = replace(events, value=np.where(later, 1.0 + 5.0 - events.value, events.value))
    cut = _kept(events, events.ts <= 20 * DAY_S)
    for half_life_s in (math.inf, 3 * DAY_S, None):  # None: chosen before the split
        found, other, alone = (
            predict_ratings(log, 12 * DAY_S, half_life_s) for log in (events, changed, cut)
        )
        assert found is not None and other is not None and alone is not None
        assert found.half_life_s == other.half_life_s == alone.half_life_s
        early = ~later[found.offset]
        assert 0 < early.sum() == len(alone.offset)
        for name, values in found.systems.items():
            assert values[early].tobytes() == other.systems[name][early].tobytes()
            assert values[early].tobytes() == alone.systems[name].tobytes()


def test_ratings_of_one_instant_do_not_see_each_other() -> None:
    rows: list[Row] = [("u", "a", "rating", 0.0), ("v", "b", "rating", 0.0)]
    rows += [("u", "a", "rating", 9.0), ("u", "b", "rating", 9.0), ("v", "a", "rating", 9.0)]
    values = {0: 2.0, 1: 4.0, 2: 5.0, 3: 1.0, 4: 1.0}
    swapped = {**values, 2: 1.0, 3: 5.0, 4: 5.0}
    for ratings in (values, swapped):
        found = predict_ratings(event_arrays(tiny_log(rows, ratings), ITEMS), 9.0, math.inf)
        assert found is not None
        assert found.systems[GLOBAL_MEAN].tolist() == [3.0, 3.0, 3.0]
        assert found.systems[ITEM_MEAN].tolist() == [2.0, 4.0, 2.0]
        step = 1 / (1 + ITEM_DAMPING)
        assert found.systems[BIAS] == pytest.approx([3 - step, 3 + step, 3 - step])


def test_the_first_instant_of_a_log_is_not_predicted() -> None:
    rows: list[Row] = [("u", "a", "rating", 5.0), ("v", "a", "rating", 5.0)]
    events = event_arrays(tiny_log(rows, {0: 1.0, 1: 2.0}), ITEMS)
    assert predict_ratings(events, 0.0) is None
    assert rating_figures(events, 0.0, SETTINGS) is None


def test_predictions_stay_in_the_range_of_the_ratings_seen_so_far() -> None:
    rows: list[Row] = [("w", "b", "rating", 0.0)]
    rows += [("u", "a", "rating", float(t)) for t in range(1, 60)]
    values = {0: 1.0} | dict.fromkeys(range(1, 60), 5.0)
    found = predict_ratings(event_arrays(tiny_log(rows, values), ITEMS), 1.0, math.inf)
    assert found is not None
    assert found.systems[BIAS][0] == 1.0
    assert 4.9 < found.systems[BIAS].max() <= 5.0


def test_an_offset_fades_with_age_and_a_mean_does_not() -> None:
    rows: list[Row] = [("u", "a", "rating", 0.0), ("v", "b", "rating", 0.0)]
    rows += [("w", "a", "rating", DAY_S)]
    values = {0: 5.0, 1: 1.0, 2: 5.0}
    expected = []
    for later in (2 * DAY_S, 2_000 * DAY_S):
        events = event_arrays(
            tiny_log([*rows, ("w", "a", "rating", later)], {**values, 3: 5.0}), ITEMS
        )
        found = predict_ratings(events, later, DAY_S)
        assert found is not None
        expected.append(found.systems[BIAS][0])
    mean = (0.5 * (5 + 1) + 5) / 2
    assert expected[1] == pytest.approx(mean)
    assert expected[0] > mean + 0.1


def test_a_taste_that_turns_gets_a_short_half_life_and_a_steady_one_none() -> None:
    def rows(n: int) -> list[Row]:
        return [(f"u{t % 7}", "ab"[t % 2], "rating", 1e9 + t * DAY_S / 10) for t in range(n)]

    def log(values: dict[int, float]) -> EventArrays:
        return event_arrays(tiny_log(rows(600), values), ITEMS)

    turning = log({t: 5.0 if (t // 100 + t) % 2 == 0 else 1.0 for t in range(600)})
    steady = log({t: 3.0 + (t % 2) + (-1.0) ** (t // 2) for t in range(600)})
    start = 1e9 + 48 * DAY_S
    short, none = predict_ratings(turning, start), predict_ratings(steady, start)
    assert short is not None and none is not None
    assert short.half_life_s == min(HALF_LIVES_S)
    assert none.half_life_s >= 365 * DAY_S


def test_a_half_life_of_zero_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="half_life_s"):
        predict_ratings(_log(rng), 0.0, 0.0)


def test_figures_are_those_of_the_metrics_with_intervals_over_users(
    rng: np.random.Generator,
) -> None:
    events = _log(rng, 400)
    figures = rating_figures(events, 0.0, SETTINGS)
    found = predict_ratings(events, 0.0)
    assert figures is not None and found is not None
    assert figures["n_ratings"] == figures["n_ratings_drawn"] == len(found.offset)
    assert figures["n_users"] == 6
    for name, values in found.systems.items():
        for metric, measure in (("rmse", rmse), ("mae", mae)):
            interval = figures["systems"][name][metric]
            assert interval["mean"] == measure(values, found.observed)
            assert interval["low"] <= interval["mean"] <= interval["high"]
    gap = figures["systems"][BIAS]["rmse"]["mean"] ** 2
    gap -= figures["systems"][ITEM_MEAN]["rmse"]["mean"] ** 2
    assert figures["comparisons"][ITEM_MEAN]["mean"] == pytest.approx(gap)
    assert set(figures["comparisons"]) == {ITEM_MEAN, GLOBAL_MEAN}


def test_above_the_limit_whole_users_are_drawn(rng: np.random.Generator) -> None:
    events = _log(rng, 400)
    figures = rating_figures(events, 0.0, EvaluationSettings(n_bootstrap=50, max_queries=2))
    assert figures is not None
    assert figures["n_users"] == 2
    assert figures["n_ratings_drawn"] < figures["n_ratings"]


def test_a_log_without_ratings_has_no_figures(rng: np.random.Generator) -> None:
    events = _log(rng)
    no_kind = replace(events, kind=np.full(len(events), "click", dtype=object))
    no_value = replace(events, value=np.full(len(events), np.nan))
    no_item = replace(events, item=np.full_like(events.item, UNKNOWN_ITEM))
    empty = event_arrays(tiny_log([]), ITEMS)
    for log in (no_kind, no_value, no_item, empty):
        assert rating_figures(log, 0.0, SETTINGS) is None
    assert rating_figures(events, 1e12, SETTINGS) is None  # nothing after the split
    assert rating_figures(events, None, SETTINGS) is None  # leave-one-out


def _kept(events: EventArrays, keep: npt.NDArray[np.bool_]) -> EventArrays:
    counts = np.bincount(events.user[keep], minlength=len(events.user_ids))
    return EventArrays(
        user_ids=events.user_ids,
        bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        user=events.user[keep],
        item=events.item[keep],
        kind=events.kind[keep],
        ts=events.ts[keep],
        value=events.value[keep],
    )
