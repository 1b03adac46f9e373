"""The client of a pool, with an actor that is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import RaySystemError

from recsys.errors import UnavailableError
from recsys.settings import Settings
from serving.pool.client import PoolClient
from serving.pool.spec import TREND_BOARD, PoolSpec


class Board:
    """Answers every method with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def remote(self, *_: Any) -> None:
        raise self._error


@pytest.mark.parametrize("lost", [RaySystemError(OSError("gone")), TimeoutError()])
def test_an_answer_that_is_lost_on_the_way_is_named_in_our_words(lost: Exception) -> None:
    client = PoolClient(PoolSpec("/store", "sqlite:////l.db", "default", "b1", 4, Settings()))
    client._calls._methods[TREND_BOARD, "pull", None] = Board(lost)
    with pytest.raises(UnavailableError, match="trend-board: does not answer"):
        asyncio.run(client.pull_trend(0))
