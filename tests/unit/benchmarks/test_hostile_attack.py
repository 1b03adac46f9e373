"""The benchmark ``hostile`` sees what it looks for."""

from __future__ import annotations

import asyncio

from tests.benchmarks.hostile_parts.attack import Outcome, attack
from tests.benchmarks.hostile_parts.requests import MAKERS, Hostile, requests

REPLIES = {b"/ok": b"HTTP/1.1 200 OK\r\n\r\n", b"/bad": b"HTTP/1.1 500 Oops\r\n\r\n", b"/gone": b""}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(REPLIES[head.split()[1]])
    await writer.drain()
    writer.close()


async def _attacked(hostile: list[Hostile]) -> Outcome:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(attack, f"http://127.0.0.1:{port}", hostile)


def _get(path: bytes, *, may_hang_up: bool = False) -> Hostile:
    return Hostile(path.decode(), (b"GET " + path + b" HTTP/1.1\r\n\r\n",), may_hang_up)


def test_errors_of_the_server_and_missing_replies_are_told() -> None:
    sent = [_get(b"/ok"), _get(b"/bad"), _get(b"/gone"), _get(b"/gone", may_hang_up=True)]
    found = asyncio.run(_attacked(sent))
    assert found.by_status == {200: 1, 500: 1, -1: 2}
    assert sorted((kind, status) for kind, status, _ in found.failed) == [
        ("/bad", 500),
        ("/gone", -1),
    ]


def test_requests_are_of_all_kinds_and_the_same_for_a_seed() -> None:
    first, again = requests(len(MAKERS), seed=1), requests(len(MAKERS), seed=1)
    assert first == again and len({one.kind for one in first}) == len(MAKERS)
