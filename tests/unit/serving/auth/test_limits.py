"""Rates: held over replicas, given back with time, and counted alone where the board is away."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import UnavailableError
from serving.auth.limits import Buckets, Granted, Limiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limiter(buckets: Buckets, clock: Clock) -> Limiter:
    async def take(name: str, rate: float, burst: float, n: int) -> Granted:
        return buckets.take(name, rate, burst, n)

    return Limiter(take, 2.0, clock)


async def admitted(one: Limiter, rate: float, n: int) -> int:
    waits = [await one.wait_s("ann", rate) for _ in range(n)]
    return sum(wait == 0.0 for wait in waits)


@pytest.mark.parametrize("n_replicas", [1, 2, 5])
def test_replicas_share_one_rate(n_replicas: int) -> None:
    clock = Clock()
    buckets = Buckets(clock)
    replicas = [limiter(buckets, clock) for _ in range(n_replicas)]

    async def run() -> int:
        n = 0
        for _ in range(100):  # 10 s at ten times the rate
            clock.now += 0.1
            for replica in replicas:
                n += await admitted(replica, 10.0, 10)
        return n

    burst, leased = 20, n_replicas
    assert 100 <= asyncio.run(run()) <= 100 + burst + leased


def test_the_wait_is_as_long_as_it_takes() -> None:
    clock = Clock()
    one = limiter(Buckets(clock), clock)

    async def run() -> None:
        assert await admitted(one, 0.5, 5) == 1
        wait = await one.wait_s("ann", 0.5)
        assert wait == pytest.approx(2.0)
        clock.now += wait
        assert await one.wait_s("ann", 0.5) == 0.0

    asyncio.run(run())


def test_callers_do_not_take_from_each_other() -> None:
    clock = Clock()
    one = limiter(Buckets(clock), clock)

    async def run() -> None:
        await admitted(one, 1.0, 50)
        assert await one.wait_s("ann", 1.0) > 0.0
        assert await one.wait_s("ben", 1.0) == 0.0

    asyncio.run(run())


def test_without_a_board_a_replica_counts_for_itself() -> None:
    async def away(*_: object) -> Granted:
        raise UnavailableError("board", "is away")

    clock = Clock()
    assert asyncio.run(admitted(Limiter(away, 2.0, clock), 5.0, 50)) == 10


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9)), max_size=60), st.floats(0.1, 50))
def test_a_bucket_never_gives_more_than_rate_and_burst(
    asked: list[tuple[float, int]], rate: float
) -> None:
    clock = Clock()
    buckets, began, given_out = Buckets(clock), clock.now, 0
    for pause, n in asked:
        clock.now += pause
        granted = buckets.take("ann", rate, 10.0, n)
        assert 0 <= granted.n <= n and (granted.n > 0) == (granted.wait_s == 0.0)
        given_out += granted.n
        assert given_out <= 10.0 + rate * (clock.now - began) + 1e-6
