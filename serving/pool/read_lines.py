"""Reads of single profiles that come together go together.

A call of an actor costs many times what the shard needs for one more profile. While a call is on
its way to a shard, those who ask for its profiles stand in line; when it is back all of them go
with the next. Nobody waits on purpose: where nobody is before, a read goes at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.pool.messages import ProfileView

MAX_TOGETHER = 256

Ask = Callable[[str, Sequence[str], npt.NDArray[np.float64]], Awaitable[Sequence[ProfileView]]]
"""Reads (B,) distinct users of one shard as of (B,) moments."""


@dataclass
class _Waiting:
    user_id: str
    as_of: float
    answer: asyncio.Future[ProfileView]


@dataclass
class _Line:
    waiting: list[_Waiting] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None


class ReadLines:
    """One line for each shard.

    Args:
        ask: reads profiles of a shard.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lines: dict[str, _Line] = defaultdict(_Line)

    async def view(self, shard: str, user_id: str, as_of: float) -> ProfileView:
        """A profile; errors are those of ``ask``, and those of all who went together.

        Args:
            shard: that has it.
            user_id: whose.
            as_of: Unix seconds.
        """
        answer: asyncio.Future[ProfileView] = asyncio.get_running_loop().create_future()
        line = self._lines[shard]
        line.waiting.append(_Waiting(user_id, as_of, answer))
        if line.reader is None:
            line.reader = asyncio.create_task(self._serve(shard, line))
        return await answer

    async def _serve(self, shard: str, line: _Line) -> None:
        """Read for the line until nobody is in it."""
        try:
            while len(line.waiting) > 0:
                together = _first(line)
                moments = np.array([one.as_of for one in together])
                try:
                    views = await self._ask(shard, [one.user_id for one in together], moments)
                except Exception as error:  # noqa: BLE001 - theirs to deal with
                    for one in together:
                        _fail(one.answer, error)
                else:
                    for one, view in zip(together, views, strict=True):
                        if not one.answer.done():  # who has given up waits no more
                            one.answer.set_result(view)
        finally:
            line.reader = None
            for one in line.waiting:
                one.answer.cancel()


def _first(line: _Line) -> list[_Waiting]:
    """Take those at the head of the line, each user once."""
    together: dict[str, _Waiting] = {}
    left = []
    for one in line.waiting:
        if one.answer.done():
            continue
        if len(together) == MAX_TOGETHER or one.user_id in together:
            left.append(one)
        else:
            together[one.user_id] = one
    line.waiting = left
    return list(together.values())


def _fail(answer: asyncio.Future[ProfileView], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
