"""Memory for lists of any length: blocks of one size that name each other by address."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recsys.memory import Chunks, load_i64, store_i64

_SHIFT = 11
_USED, _FREE = 0, 1


class Blocks(Chunks):
    """Blocks whose first field is the address of another one; 0 = none."""

    def __init__(self, record_bytes: int) -> None:
        super().__init__(record_bytes, _SHIFT)
        self._state = np.zeros(2, np.int64)  # blocks ever used; the first that was given back

    def ready(self, n_more: int) -> tuple[Any, int, int, Any]:
        """With room for so many more: what the compiled functions below take."""
        self.reserve(int(self._state[_USED]) + n_more)
        return self.addresses, self.shift, self.record_bytes, self._state


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take(blocks: Any) -> int:
    """A block; room was reserved before."""
    addresses, shift, record_bytes, state = blocks
    block = state[_FREE]
    if block != 0:
        state[_FREE] = load_i64(block)
        return block  # type: ignore[no-any-return]
    number = state[_USED]
    state[_USED] += 1
    return addresses[number >> shift] + (number & ((1 << shift) - 1)) * record_bytes  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def give(blocks: Any, block: int) -> None:
    """Give a block back."""
    store_i64(block, blocks[3][_FREE])
    blocks[3][_FREE] = block
