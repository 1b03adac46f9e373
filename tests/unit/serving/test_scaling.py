"""The autoscaling rule."""

from __future__ import annotations

import pytest

from recsys.serving_options import ServingSettings
from serving.pool.scaling import Autoscaler, Load, Seen, wanted_shards

RULE = ServingSettings(
    shard_events_per_s=1_000.0,
    shard_queue_s=0.1,
    shard_memory_mb=100.0,
    min_shards=1,
    max_shards=6,
    scale_cooldown_s=60.0,
)
QUIET = Load(10.0, 0.001, 10 * 2**20)


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([QUIET], 1),
        ([Load(3_500.0, 0.001, 0)], 4),
        ([Load(10.0, 0.001, 250 * 2**20)], 3),
        ([Load(10.0, 0.5, 0)], 2),
        ([Load(90_000.0, 0.001, 0)], 6),
        ([QUIET, QUIET, QUIET], 1),
        ([Load(900.0, 0.0, 0), Load(900.0, 0.0, 0), QUIET], 3),  # two would be too full
    ],
)
def test_the_number_follows_events_waiting_and_memory(loads: list[Load], expected: int) -> None:
    assert wanted_shards(len(loads), loads, RULE) == expected


def test_nothing_changes_while_a_shard_does_not_answer() -> None:
    assert wanted_shards(3, [QUIET, QUIET], RULE) == 3


def seen(name: str, n_appended: int, pid: int = 1) -> Seen:
    return Seen(name, pid, n_appended, 0.001, 0)


def test_rates_are_of_the_time_between_two_looks_and_a_change_is_followed_by_calm() -> None:
    scaler = Autoscaler(RULE)
    assert scaler.decide(1, [seen("a", 0)], 0.0) == 1
    assert scaler.decide(1, [seen("a", 25_000)], 10.0) == 3
    assert scaler.decide(3, [seen(n, 25_000) for n in "abc"], 20.0) == 3
    assert scaler.decide(3, [seen(n, 25_000) for n in "abc"], 50.0) == 3, "cool-down"
    assert scaler.decide(3, [seen(n, 25_000) for n in "abc"], 80.0) == 1


def test_a_shard_that_began_again_is_not_taken_for_an_idle_one() -> None:
    scaler = Autoscaler(RULE)
    scaler.decide(2, [seen("a", 10**6), seen("b", 10**6)], 0.0)
    assert scaler.decide(2, [seen("a", 5, pid=2), seen("b", 10**6)], 70.0) == 2
