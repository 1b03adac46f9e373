"""Lines of a body as they come in, in memory that does not grow with the body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException


async def lines_of(
    chunks: AsyncIterator[bytes], max_line_bytes: int, max_bytes: int, idle_s: float
) -> AsyncIterator[bytes | None]:
    """Lines without their ends, in order; None stands for one that is too long.

    Args:
        chunks: of the body.
        max_line_bytes: longest line.
        max_bytes: largest body.
        idle_s: seconds to wait for a chunk.

    Raises:
        HTTPException: 413 for a body that is too large, 408 for one that stands still.
    """
    rest, is_skipping, n_bytes = bytearray(), False, 0
    while (chunk := await _next(chunks, idle_s)) is not None:
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise HTTPException(413, f"The body is larger than {max_bytes} bytes")
        rest.extend(chunk)
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield None if is_skipping or len(line) > max_line_bytes else bytes(line)
            is_skipping = False
        is_skipping |= len(last) > max_line_bytes
        rest = bytearray() if is_skipping else last
    if is_skipping:
        yield None
    elif len(rest) > 0:
        yield bytes(rest)


async def _next(chunks: AsyncIterator[bytes], idle_s: float) -> bytes | None:
    """The next chunk; None at the end."""
    try:
        async with asyncio.timeout(idle_s):
            return await anext(chunks, None)
    except TimeoutError as error:
        raise HTTPException(408, f"Nothing of the body came for {idle_s:g} s") from error
