"""Where a user is in the graph, what becomes of it, and what it wakes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.graph.activation import activation
from recsys.graph.overlay import LEAST_WEIGHT, Overlay, direction, drift, overlay
from recsys.interest.model import Query
from recsys.settings import DAY_S
from recsys.shelf import Evidence
from tests.unit.graph.planted import OPTIONS, graph, planted

NOW = 1_000 * DAY_S
NONE = np.zeros(0, np.float32)
NO_QUERY = Query(np.zeros((1, 1, 8), np.float32), *[NONE] * 5)


def did(
    *events: tuple[int, float] | tuple[int, float, float],
) -> Evidence:
    """Events as (node, days ago, importance): the first item of that node; -1 = unknown item."""
    node = graph().node
    item = [int(np.flatnonzero(node == e[0])[0]) if e[0] >= 0 else -1 for e in events]
    return Evidence(
        NO_QUERY,
        recent_item=np.array(item, np.int64),
        recent_ts=np.array([NOW - e[1] * DAY_S for e in events]),
        recent_importance=np.array([e[2] if len(e) > 2 else 1.0 for e in events]),
    )


def anybody(rng: np.random.Generator, n: int = 64) -> Evidence:
    return Evidence(
        NO_QUERY,
        recent_item=rng.integers(-1, len(graph().node), n),
        recent_ts=NOW - 100 * DAY_S * rng.random(n),
        recent_importance=rng.choice([1.0, 2.0, 0.3, -1.0], n),
    )


def at(evidence: Evidence, days: float = 0.0) -> Overlay:
    return overlay(evidence, graph(), NOW + days * DAY_S)


def test_an_overlay_equals_a_slow_sum(rng: np.random.Generator) -> None:
    one = anybody(rng)
    found = at(one)
    short, long, against = (np.zeros(len(graph())) for _ in range(3))
    for item, ts, weight in zip(one.recent_item, one.recent_ts, one.recent_importance, strict=True):
        node = graph().node[item] if item >= 0 else -1
        if node < 0:
            continue
        left = 0.5 ** ((NOW - ts) / OPTIONS.long_half_life_s)
        if weight > 0:
            short[node] += weight * 0.5 ** ((NOW - ts) / OPTIONS.short_half_life_s)
            long[node] += weight * left
        else:
            against[node] -= weight * left
    for mine, slow in ((found.short, short), (found.long, long), (found.against, against)):
        np.testing.assert_allclose(mine, slow, rtol=1e-12)


def test_the_order_of_events_does_not_matter(rng: np.random.Generator) -> None:
    one = anybody(rng)
    mixed = rng.permutation(len(one.recent_item))
    other = replace(
        one,
        recent_item=one.recent_item[mixed],
        recent_ts=one.recent_ts[mixed],
        recent_importance=one.recent_importance[mixed],
    )
    for name in ("short", "long", "against"):
        np.testing.assert_array_equal(getattr(at(one), name), getattr(at(other), name))


def test_two_halves_of_a_history_add_up(rng: np.random.Generator) -> None:
    one = anybody(rng)
    parts = [
        replace(
            one,
            recent_item=one.recent_item[some],
            recent_ts=one.recent_ts[some],
            recent_importance=one.recent_importance[some],
        )
        for some in (slice(0, 20), slice(20, None))
    ]
    np.testing.assert_allclose(at(parts[0]).long + at(parts[1]).long, at(one).long)


def test_it_decays_exactly_and_the_forecast_is_what_comes(rng: np.random.Generator) -> None:
    one = anybody(rng)
    now, later = at(one), at(one, 7.0)
    np.testing.assert_allclose(later.short, now.short * 0.5 ** (7 / 2), rtol=1e-9)
    np.testing.assert_allclose(later.long, now.long * 0.5 ** (7 / 45), rtol=1e-9)
    np.testing.assert_allclose(now.after(7 * DAY_S), later.weight, rtol=1e-9)
    half = now.half_in_s
    known = now.weight > 0
    np.testing.assert_allclose(now.after(half)[known], now.weight[known] / 2, rtol=1e-9)


def test_half_of_an_interest_is_gone_between_the_two_half_lives() -> None:
    found = at(did((0, 0.0), (1, 60.0))).half_in_s / DAY_S
    assert 2.0 < found[0] < 45.0 and found[1] == pytest.approx(45.0, rel=1e-3)
    assert np.isnan(found[2])


def test_what_is_not_yet_is_passed_over() -> None:
    assert not at(did((0, -1.0), (-1, 3.0))).weight.any()
    assert not at(did()).weight.any() and not at(did()).shares.any()


def test_one_click_of_this_moment_weighs_one_and_shares_sum_to_one() -> None:
    found = at(did((0, 0.0), (1, 9.0), (2, 1.0, -2.0)))
    assert found.weight[0] == 1.0 and found.shares.sum() == pytest.approx(1.0)
    assert found.weight[2] == 0.0 and found.against[2] > 1.9


def test_interests_appear_grow_fade_and_die() -> None:
    one = did((0, 1.0), (1, 30.0), (2, 20.0), (2, 0.5), (3, 155.0))
    changes = drift(at(one, -10.0), at(one))
    assert changes[:4] == ["appeared", "fading", "growing", "died"]
    assert drift(at(one), at(one)) == ["steady"] * len(graph())


def test_a_direction_is_drift_over_a_short_half_life() -> None:
    daily = [(1, day + 0.5) for day in range(400)]
    one = did((0, 0.1), *daily, (2, 1.0), (2, 40.0), (3, 900.0), (4, 5.0))
    assert direction(one, graph(), at(one))[:5] == [
        "appeared",
        "steady",
        "growing",
        "died",
        "fading",
    ]
    assert at(did((3, 900.0))).weight[3] < LEAST_WEIGHT
    slow = did((0, 40.0))
    assert direction(slow, graph(), at(slow))[0] == "steady"  # the long mass loses 3% in two days


def test_activation_equals_a_slow_sum() -> None:
    weight = np.array([1.0, 0.0, 0.4, 0.0, 0.0])[: len(graph())]
    weight = np.concatenate([weight, np.zeros(len(graph()) - len(weight))])
    h, near, slow = graph().centres.astype(float), graph().adjacency, np.zeros(len(graph()))
    for a in range(len(slow)):
        for i in range(len(slow)):
            reach = 1.0 if i == a else OPTIONS.spread * float(near[i, a])
            slow[a] += weight[i] * reach * np.exp(h[a] @ h[i] / OPTIONS.temperature)
    np.testing.assert_allclose(activation(weight, graph()), slow / slow.sum(), rtol=1e-5)


def test_activation_reaches_the_neighbours_of_an_interest_and_nobody_else() -> None:
    weight = np.eye(len(graph()))[0]
    found = activation(weight, graph())
    assert set(np.flatnonzero(found)) == {0, *np.flatnonzero(graph().adjacency[0]).tolist()}
    assert found[0] == found.max() and found.sum() == pytest.approx(1.0)
    assert not activation(np.zeros(len(graph())), graph()).any()


def test_a_planted_switch_is_seen_as_drift() -> None:
    _, _, events, topic = planted()
    life, node = OPTIONS.short_half_life_s, graph().node
    user = int(np.argmax(np.diff(events.bounds)))
    mine = slice(events.bounds[user], events.bounds[user + 1])
    one = Evidence(
        NO_QUERY,
        recent_item=events.item[mine],
        recent_ts=events.ts[mine],
        recent_importance=np.ones(mine.stop - mine.start),
    )
    last = float(events.ts[mine][-1])
    now = overlay(one, graph(), last)
    late = events.ts[mine] > last - life
    wanted = np.bincount(topic[events.item[mine]][late]).argmax()
    assert topic[np.flatnonzero(node == int(now.weight.argmax()))[0]] == wanted
