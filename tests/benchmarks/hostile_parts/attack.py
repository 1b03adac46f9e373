"""Send hostile requests over raw connections, and see what becomes of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.benchmarks.hostile_parts.requests import Hostile

PAUSE_S = 0.05
PATIENCE_S = 2.0
"""Seconds to wait for a reply to bytes that are no whole request, before hanging up."""
REPLY_S = 60.0
HUNG_UP, SILENT, REFUSED = -1, -2, -3


@dataclass
class Outcome:
    """What became of some requests."""

    by_status: Counter[int] = field(default_factory=Counter)
    """Number by HTTP status; below 0: connections closed, silent or refused."""
    failed: list[tuple[str, int, bytes]] = field(default_factory=list)
    """Kind, status and beginning of those that got a 5xx or no reply that was due."""


def attack(
    url: str,
    hostile: Sequence[Hostile],
    n_connections: int = 16,
    advance: Callable[[], None] = lambda: None,
    patience_s: float = PATIENCE_S,
) -> Outcome:
    """Send all requests.

    Args:
        url: of the service.
        hostile: what to send.
        n_connections: at once.
        advance: called after each.
        patience_s: seconds to wait for a reply to bytes that are no whole request.
    """
    return asyncio.run(_attack(url, hostile, n_connections, advance, patience_s))


async def _attack(
    url: str,
    hostile: Sequence[Hostile],
    n_connections: int,
    advance: Callable[[], None],
    patience_s: float,
) -> Outcome:
    place, outcome, waiting = urlsplit(url), Outcome(), iter(hostile)

    async def work() -> None:
        for one in waiting:
            host, port = str(place.hostname), int(place.port or 80)
            status = await _send(host, port, one, patience_s)
            outcome.by_status[status] += 1
            if status >= 500 or status == REFUSED or (status < 0 and not one.may_hang_up):
                outcome.failed.append((one.kind, status, b"".join(one.parts)[:160]))
            advance()

    await asyncio.gather(*(work() for _ in range(n_connections)))
    return outcome


async def _send(host: str, port: int, one: Hostile, patience_s: float) -> int:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return REFUSED
    try:
        for number, part in enumerate(one.parts):
            if number > 0:
                await asyncio.sleep(PAUSE_S)
            writer.write(part)
            await writer.drain()
    except OSError:
        pass  # hung up on while sending; a reply may be there nevertheless
    try:
        async with asyncio.timeout(patience_s if one.may_hang_up else REPLY_S):
            line = await reader.readline()
    except TimeoutError:
        return SILENT
    except (OSError, ValueError):
        return HUNG_UP
    finally:
        writer.transport.abort()
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else HUNG_UP
