"""Reads that go together, and what becomes of them where something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from recsys.errors import UnavailableError
from serving.pool.read_lines import MAX_TOGETHER, ReadLines


class Shards:
    """Answers ``user@moment`` when it is let; notes who came together."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __call__(self, shard: str, users: Sequence[str], moments: np.ndarray) -> Any:
        self.asked.append((shard, list(users)))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return [f"{user}@{moment:g}" for user, moment in zip(users, moments, strict=True)]


async def ahead(lines: ReadLines, shards: Shards) -> asyncio.Task[Any]:
    """Somebody whose read is on its way."""
    shards.open.clear()
    first = asyncio.create_task(lines.view("a", "first", 0.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shards.asked == [("a", ["first"])]
    return first


def test_who_comes_while_a_read_is_on_its_way_goes_with_the_next() -> None:
    async def use() -> None:
        shards = Shards()
        lines = ReadLines(shards)
        first = await ahead(lines, shards)
        others = [asyncio.create_task(lines.view("a", f"u{n}", float(n))) for n in range(5)]
        elsewhere = asyncio.create_task(lines.view("b", "x", 1.0))
        await asyncio.sleep(0.01)
        assert len(shards.asked) == 2  # shard b waits for nobody
        shards.open.set()
        assert await first == "first@0" and await elsewhere == "x@1"
        assert await asyncio.gather(*others) == [f"u{n}@{n}" for n in range(5)]
        assert shards.asked[2:] == [("a", [f"u{n}" for n in range(5)])]

    asyncio.run(use())


def test_one_user_at_two_moments_is_read_twice_and_long_lines_are_cut() -> None:
    async def use() -> None:
        shards = Shards()
        lines = ReadLines(shards)
        first = await ahead(lines, shards)
        moments = [asyncio.create_task(lines.view("a", "same", float(n))) for n in range(2)]
        many = [asyncio.create_task(lines.view("a", f"u{n}", 0.0)) for n in range(MAX_TOGETHER + 9)]
        await asyncio.sleep(0)
        shards.open.set()
        await asyncio.gather(first, *many)
        assert await asyncio.gather(*moments) == ["same@0", "same@1"]
        assert [len(users) for _, users in shards.asked] == [1, MAX_TOGETHER, 11]

    asyncio.run(use())


def test_an_error_is_that_of_all_who_went_together_and_of_nobody_else() -> None:
    async def use() -> None:
        shards = Shards()
        lines = ReadLines(shards)
        first = await ahead(lines, shards)
        shards.error = UnavailableError("shard", "is away")
        second = asyncio.create_task(lines.view("a", "second", 0.0))
        shards.open.set()
        for one in (first, second):
            with pytest.raises(UnavailableError):
                await one
        shards.error = None
        assert await lines.view("a", "third", 2.0) == "third@2"

    asyncio.run(use())


def test_who_gives_up_holds_up_nobody() -> None:
    async def use() -> None:
        shards = Shards()
        lines = ReadLines(shards)
        first = await ahead(lines, shards)
        hasty = asyncio.create_task(lines.view("a", "hasty", 0.0))
        patient = asyncio.create_task(lines.view("a", "patient", 0.0))
        await asyncio.sleep(0)
        first.cancel()
        hasty.cancel()
        await asyncio.sleep(0)
        shards.open.set()
        assert await patient == "patient@0"
        assert shards.asked[1:] == [("a", ["patient"])]

    asyncio.run(use())
