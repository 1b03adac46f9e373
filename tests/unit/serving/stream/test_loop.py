"""Delivered at least once, counted exactly once: whatever dies, and between whichever steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import LedgerError, StoreError
from serving.stream.messages import Place
from serving.stream.progress import Progress
from tests.unit.serving.stream.fakes import POINTS, Crash, FakeSource, World, new_loop


def finish(world: World, member: int = 0, n_steps: int = 200) -> None:
    loop = new_loop(world, member)
    for _ in range(n_steps):
        if world.is_done():
            return
        loop.step()
    raise AssertionError("it does not come to the end")


def check(world: World) -> None:
    assert set(world.ledger) == world.sound(), "every event once, and nothing else"
    assert set(world.quarantine) == world.poison()


def test_everything_is_counted_once_or_quarantined() -> None:
    world = World()
    finish(world)
    check(world)
    assert set(world.quarantine.values()) == {1}


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_consumer_killed_between_two_steps_loses_and_repeats_nothing(
    point: str, nth: int
) -> None:
    world = World()
    world.trap.set(point, nth)
    with pytest.raises(Crash):
        finish(world)
    finish(world)
    check(world)


@pytest.mark.parametrize("point", POINTS)
def test_a_consumer_killed_again_and_again_comes_to_the_end(point: str) -> None:
    world = World(n_messages=40)
    for _ in range(15):
        world.trap.set(point, 2)
        try:
            finish(world)
        except Crash:
            continue
        break
    world.trap.set("", 0)
    finish(world)
    check(world)


def test_offsets_stay_where_they_are_while_the_pool_is_away() -> None:
    world = World(n_away=9)
    loop = new_loop(world)
    seen: list[dict[Place, int]] = []
    world.on_hold += [lambda: seen.append(dict(world.committed))] * 9
    loop.step()
    assert seen == [{}] * 9 and loop.counts.n_retries == 9
    assert world.committed != {}
    finish(world)
    check(world)


def test_pauses_before_retries_grow_up_to_a_bound_and_serve_the_group() -> None:
    world = World(n_away=40)
    loop = new_loop(world)
    loop.step()
    source = loop._source
    assert isinstance(source, FakeSource)
    waited_s = world.now - 1_700_000_000.0
    assert 60.0 < waited_s < 40 * 15.0
    assert source.n_holds > 0.7 * waited_s, "at least about once a second"


@pytest.mark.parametrize("error", [LedgerError("disk", "is full"), StoreError("store", "is away")])
def test_a_full_disk_and_a_lost_store_are_waited_for(error: Exception) -> None:
    world = World()
    failures = [error, error]

    def append_or_fail(events):
        if failures:
            raise failures.pop()
        return world.append(events)

    loop = new_loop(world, append=append_or_fail)
    loop.step()
    assert loop.counts.n_retries == 2 and world.committed != {}


def test_a_quarantine_that_fails_holds_the_offsets_back() -> None:
    world = World()
    failures = [StoreError("store", "is away")] * 3

    def keep_or_fail(poison):
        if failures:
            assert world.committed == {}
            raise failures.pop()
        world.keep(poison)

    loop = new_loop(world, quarantine=keep_or_fail)
    loop.step()
    assert failures == [] and world.committed != {}
    finish(world)
    check(world)


def test_an_event_that_the_pool_refuses_is_quarantined_alone() -> None:
    world = World(refused_user="u1")
    finish(world)
    refused = {row for row in world.quarantine if row[2] == "refused"}
    assert {key for key in world.sound() if key[0] != "u1"} == set(world.ledger)
    assert {offset for _, offset, _ in refused} == {1, 4, 11, 14, 21, 24}


def test_partitions_taken_away_during_an_outage_are_dropped_and_never_committed() -> None:
    world = World(n_away=3)
    first, second = world.places
    world.on_hold.append(lambda: world.rebalance({first: 1, second: 0}))
    new_loop(world, n_batch=100).step()
    assert first not in world.committed and world.committed[second] > 0
    other = new_loop(world, member=1)
    for _ in range(20):
        other.step()
    assert world.is_done()
    check(world)


def test_a_zombie_commits_nothing_and_its_events_count_once() -> None:
    world = World()
    zombie, heir = new_loop(world), new_loop(world, member=1)
    world.on_append.append(lambda: world.rebalance(dict.fromkeys(world.places, 1)))
    zombie.step()
    assert world.committed == {} and len(world.ledger) > 0
    for _ in range(20):
        heir.step()
    zombie.step()
    assert world.is_done()
    check(world)


def test_what_slips_through_a_pause_is_not_lost() -> None:
    world = World(n_away=2)
    first, second = world.places
    world.rebalance({first: 0, second: 1})
    world.on_hold.append(lambda: world.rebalance(dict.fromkeys(world.places, 0)))
    loop = new_loop(world)
    for _ in range(20):
        loop.step()
    assert world.is_done()
    check(world)


def test_what_slipped_through_a_pause_is_dropped_with_its_partition() -> None:
    world = World(n_away=3)
    first, second = world.places
    world.rebalance({first: 0, second: 1})
    world.on_hold.append(lambda: world.rebalance(dict.fromkeys(world.places, 0)))
    world.on_hold.append(lambda: world.rebalance({first: 0, second: 1}))
    loop, other = new_loop(world), new_loop(world, member=1)
    for _ in range(20):
        loop.step()
    assert second not in world.committed
    for _ in range(20):
        other.step()
    assert world.is_done()
    check(world)


def test_an_empty_partition_is_committed_at_its_end() -> None:
    world = World(n_messages=0)
    new_loop(world).step()
    assert world.committed == dict.fromkeys(world.places, 0) and world.is_done()


def test_a_loop_told_to_stop_during_an_outage_ends_at_once_and_commits_nothing() -> None:
    world = World(n_away=10**6)
    stopped = []
    loop = new_loop(world, is_stopped=lambda: len(stopped) > 0)
    world.on_hold.append(lambda: stopped.append(True))
    loop.run()
    assert world.committed == {} and loop._source.is_closed
    world.n_away = 0
    finish(world)
    check(world)


def test_a_stopped_loop_commits_its_last_batch_and_leaves() -> None:
    world = World()
    stopped = []
    loop = new_loop(world, is_stopped=lambda: len(stopped) > 0)
    world.on_append.append(lambda: stopped.append(True))
    counts = loop.run()
    assert sum(world.committed.values()) == counts.n_handled == 7
    assert loop._source.is_closed


def test_a_failed_commit_is_repeated_with_the_next_batch() -> None:
    world = World()
    loop = new_loop(world)
    source, commit = loop._source, loop._source.commit
    source.commit = lambda offsets: {}
    loop.step()
    assert loop.progress().commit_age_s == 0.0
    world.now += 5.0
    assert loop.progress().commit_age_s == 5.0
    source.commit = commit
    loop.step()
    assert sum(world.committed.values()) == 14
    assert loop.progress().commit_age_s == 0.0


def test_lag_is_what_is_not_acknowledged() -> None:
    world = World()
    heard: list[Progress] = []
    loop = new_loop(world, n_batch=10, observe=heard.append)
    loop.step()
    first, second = world.places
    assert heard[-1].lags == {first: 15}
    for _ in range(9):
        loop.step()
    assert heard[-1].lags == {first: 0, second: 0}
    assert heard[-1].counts.n_handled == 50
    assert sum(heard[-1].counts.reasons.values()) == heard[-1].counts.n_poison
    assert heard[0].counts.n_handled == 10, "what was told does not change afterwards"


owner = st.integers(0, 2)
actions = st.one_of(
    st.tuples(st.just("step"), st.integers(0, 2)),
    st.tuples(st.just("crash"), st.sampled_from(POINTS), st.integers(1, 5)),
    st.tuples(st.just("away"), st.integers(1, 5)),
    st.tuples(st.just("rebalance"), owner, owner, owner),
    st.tuples(st.just("rebalance while held"), owner, owner, owner),
    st.tuples(st.just("rebalance while appending"), owner, owner, owner),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, max_size=60), st.booleans(), st.integers(1, 12))
def test_no_order_of_crashes_outages_and_rebalances_loses_or_repeats_anything(
    script: list[tuple], is_eager: bool, n_batch: int
) -> None:
    world = World(n_partitions=3, n_messages=20, is_eager=is_eager)
    loops = {member: new_loop(world, member, n_batch) for member in range(3)}

    def step(member: int) -> None:
        try:
            loops[member].step()
        except Crash:
            loops[member] = new_loop(world, member, n_batch)

    def rebalance(*owners: int) -> None:
        world.rebalance(dict(zip(world.places, owners, strict=True)))

    do = {
        "step": step,
        "crash": world.trap.set,
        "away": lambda n: setattr(world, "n_away", n),
        "rebalance": rebalance,
        "rebalance while held": lambda *o: world.on_hold.append(lambda: rebalance(*o)),
        "rebalance while appending": lambda *o: world.on_append.append(lambda: rebalance(*o)),
    }
    for name, *arguments in script:
        do[name](*arguments)
    world.trap.set("", 0)
    world.on_hold.clear()
    world.on_append.clear()
    for _ in range(80):
        for loop in loops.values():
            loop.step()
    assert world.is_done()
    check(world)
