"""Memory of many records of one size: grown chunk by chunk, never moved, reached by address.

A chunk is allocated once and stays where it is until it is dropped, so growth copies nothing: a new
chunk of untouched pages costs the same however many there are. Compiled code takes the addresses of
records and reads their fields with the ``load_*`` and ``store_*`` functions below, so one call
serves the records of many tables. Nothing there checks bounds: the callers do.
"""

from __future__ import annotations

import mmap
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Bytes = npt.NDArray[np.uint8]
Addresses = npt.NDArray[np.int64]

_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)


class Chunks:
    """Records of ``record_bytes``, all of zeros when they are new; numbered from 0.

    Args:
        record_bytes: a multiple of 8.
        shift: a chunk is of ``2**shift`` records.
    """

    def __init__(self, record_bytes: int, shift: int) -> None:
        if record_bytes % 8 != 0:
            raise ValueError(
                f"records of {record_bytes} bytes are not aligned: take a multiple of 8"
            )
        self.record_bytes = record_bytes
        self.shift = shift
        self.addresses: Addresses = np.zeros(0, np.int64)
        """(n,) where each chunk begins."""
        self._chunks: list[Bytes] = []

    @property
    def capacity(self) -> int:
        """Records that there is room for."""
        return len(self._chunks) << self.shift

    def reserve(self, n_records: int) -> None:
        """Make room for ``n_records`` in all; what is there stays where it is."""
        n_needed = -(-n_records >> self.shift)
        while len(self._chunks) < n_needed:
            self._chunks.append(_chunk(self.record_bytes << self.shift, len(self._chunks) > 0))
            self.addresses = np.append(self.addresses, self._chunks[-1].ctypes.data)

    def at(self, rows: Addresses) -> Addresses:
        """(T,) addresses of records; -1 gives 0, which is nowhere."""
        found = np.empty(len(rows), np.int64)
        self.locate(rows, found)
        return found

    def locate(self, rows: Addresses, found: Addresses) -> None:
        """``at`` into an array, which may be ``rows`` itself."""
        _locate(self.addresses, self.shift, self.record_bytes, rows, found)

    def forget(self, n_records: int) -> None:
        """Give back the chunks that the first ``n_records`` do not need."""
        n_needed = -(-n_records >> self.shift)
        del self._chunks[n_needed:]
        self.addresses = self.addresses[:n_needed].copy()

    def views(self, n_records: int) -> list[Bytes]:
        """The first ``n_records`` as (n, record_bytes) arrays that share the memory, by chunks."""
        size = 1 << self.shift
        parts = []
        for number, chunk in enumerate(self._chunks):
            count = min(size, n_records - number * size)
            if count <= 0:
                break
            parts.append(chunk.reshape(size, self.record_bytes)[:count])
        return parts


def _chunk(n_bytes: int, is_growing: bool) -> Bytes:
    """Zeros that take memory as they are touched; in large pages where much is to come."""
    if not is_growing or _HUGE_PAGES is None:
        return np.zeros(n_bytes, np.uint8)
    pages = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(_HUGE_PAGES)
    return np.frombuffer(pages, np.uint8)


def _at(kind: Any) -> tuple[Any, Any]:
    """Compiled functions that load and store one number of a kind at an address."""

    def load(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            pointer = ir.PointerType(context.get_data_type(kind))
            return builder.load(builder.inttoptr(arguments[0], pointer))

        return kind(types.int64), generate

    def store(typing_context: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            pointer = ir.PointerType(context.get_data_type(kind))
            builder.store(arguments[1], builder.inttoptr(arguments[0], pointer))
            return context.get_dummy_value()

        return types.void(types.int64, kind), generate

    return intrinsic(load), intrinsic(store)


load_i32, store_i32 = _at(types.int32)
load_i64, store_i64 = _at(types.int64)
load_f32, store_f32 = _at(types.float32)
load_f64, store_f64 = _at(types.float64)
load_u32, store_u32 = _at(types.uint32)
load_u16, store_u16 = _at(types.uint16)
load_u8, store_u8 = _at(types.uint8)
load_i8, store_i8 = _at(types.int8)


_pointer_to: Any = types.CPointer  # type: ignore[attr-defined]


def _pointer(kind: Any) -> Any:
    def point(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return _pointer_to(kind)(types.int64), generate

    return intrinsic(point)


f32_at, u16_at, u8_at = _pointer(types.float32), _pointer(types.uint16), _pointer(types.uint8)
"""Pointers for ``numba.carray``."""


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which will soon be written."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        integer, pointer = ir.IntType(32), ir.PointerType(ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        function = builder.module.globals.get("llvm.prefetch.p0") or ir.Function(
            builder.module, kind, "llvm.prefetch.p0"
        )
        hints = [ir.Constant(integer, n) for n in (1, 3, 1)]
        builder.call(function, [builder.inttoptr(arguments[0], pointer), *hints])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def float_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 of 32 bits."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic  # type: ignore[untyped-decorator]
def bits_of_float(typing_context: Any, number: Any) -> Any:
    """The 32 bits of a float32."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _locate(
    addresses: Addresses, shift: int, record_bytes: int, rows: Addresses, found: Addresses
) -> None:
    for t in range(rows.shape[0]):
        row = rows[t]
        found[t] = 0
        if row >= 0:
            found[t] = addresses[row >> shift] + (row & ((1 << shift) - 1)) * record_bytes
