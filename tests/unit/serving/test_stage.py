"""The stage: a gateway takes another's place while requests are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import RetiredError, UnavailableError
from recsys.settings import Settings
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.pool.messages import ProfileView
from serving.stage import Front, Stage
from tests.unit.serving.conftest import NOW, LocalPool

RECOMMENDED = "/v1/users/ann/recommendations"


class RetiredPool:
    """A pool whose profiles went to another; it does what is to happen when that is noticed."""

    def __init__(self, pool: LocalPool, on_read: Any = None) -> None:
        self._pool, self._on_read = pool, on_read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def read(
        self, user_ids: Sequence[str], as_of: float, min_versions: Mapping[int, int], *_: Any
    ) -> list[ProfileView]:
        if self._on_read is not None:
            await self._on_read()
        raise RetiredError("pool", "was replaced")


def gateway_on(bundle: Bundle, pool: Any, settings: Settings) -> Gateway:
    return Gateway(bundle, pool, settings, lambda: NOW)


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    serving = settings.serving.model_copy(update={"request_timeout_s": 0.2})
    return settings.model_copy(update={"serving": serving})


def test_a_request_to_a_retired_pool_is_answered_by_its_successor(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    fresh = Front.of(gateway_on(bundle, pool, settings))

    async def replaced() -> None:
        await stage.exchange(fresh)

    stage = Stage.of(gateway_on(bundle, RetiredPool(pool, replaced), settings))
    with TestClient(create_app(stage)) as client:
        reply = client.get(RECOMMENDED)
        assert reply.status_code == 200
        assert stage.front is fresh


def test_a_body_is_read_once_and_asked_twice(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    fresh = Front.of(gateway_on(bundle, pool, settings))

    async def replaced() -> None:
        await stage.exchange(fresh)

    stage = Stage.of(gateway_on(bundle, RetiredPool(pool, replaced), settings))
    with TestClient(create_app(stage)) as client:
        body = {"user_ids": ["ann", "ben"], "k": 3}
        reply = client.post("/v1/recommendations:batch", json=body)
        assert reply.status_code == 200
        assert [len(slate["items"]) for slate in reply.json()["slates"]] == [3, 3]


def test_without_a_successor_it_is_a_503_in_time(
    bundle: Bundle, pool: LocalPool, impatient: Settings
) -> None:
    stage = Stage.of(gateway_on(bundle, RetiredPool(pool), impatient))
    with TestClient(create_app(stage), raise_server_exceptions=False) as client:
        reply = client.get(RECOMMENDED)
    assert reply.status_code == 503
    assert "successor" in reply.json()["detail"]


def test_waiting_for_another_ends_when_it_is_there(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    async def run() -> None:
        first = Front.of(gateway_on(bundle, pool, settings))
        second = replace(first, gateway=gateway_on(bundle, pool, settings))
        stage = Stage(first)
        async with stage.running():
            waiting = asyncio.create_task(stage.other_than(first))
            await asyncio.sleep(0)
            assert not waiting.done()
            await stage.exchange(second)
            assert await waiting is second

    asyncio.run(run())


def test_the_old_gateway_follows_nothing_any_more(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    async def run() -> None:
        counted = {"old": 0, "new": 0}

        def counting(name: str) -> Gateway:
            gateway = gateway_on(bundle, pool, settings)

            async def follow() -> None:
                while True:
                    counted[name] += 1
                    await asyncio.sleep(0.001)

            gateway.follow_trend = follow  # type: ignore[method-assign]
            return gateway

        stage = Stage(Front.of(counting("old")))
        async with stage.running():
            await asyncio.sleep(0.01)
            await stage.exchange(Front.of(counting("new")))
            seen = counted["old"]
            await asyncio.sleep(0.02)
            assert counted["old"] == seen > 0
            assert counted["new"] > 0
        after = counted["new"]
        await asyncio.sleep(0.01)
        assert counted["new"] == after

    asyncio.run(run())


def test_an_error_that_is_no_retirement_is_not_asked_again(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    async def run() -> None:
        n_asked = 0

        async def question() -> None:
            nonlocal n_asked
            n_asked += 1
            raise UnavailableError("shard", "is away")

        stage = Stage.of(gateway_on(bundle, pool, settings))
        with pytest.raises(UnavailableError, match="away"):
            await stage.ask(question)
        assert n_asked == 1

    asyncio.run(run())


def test_who_follows_can_be_ended_while_another_takes_its_place(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    stage = Stage.of(gateway_on(bundle, pool, settings))
    fresh = Front.of(gateway_on(bundle, pool, settings))

    async def ends_slowly() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(0.05)

    async def use() -> None:
        async with stage.running():
            stage._tasks.append(asyncio.create_task(ends_slowly()))
            await asyncio.sleep(0.01)
            exchange = asyncio.create_task(stage.exchange(fresh))
            while stage.front is not fresh:
                await asyncio.sleep(0.001)
            exchange.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange

    asyncio.run(use())
