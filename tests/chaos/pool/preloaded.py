"""Imported once by the process that hosts are forked from: loads and compiles what they need."""

from __future__ import annotations

from recsys.folding import empty_state
from recsys.schema import Event
from recsys.snapshot import Position
from serving.pool.partition import Partition
from serving.pool.view import hold, profile_views
from tests.benchmarks.pool_parts import tables
from tests.chaos.pool import host

__all__ = ["host"]


def _compile() -> None:
    basis = tables.basis_of()
    table, trend = empty_state(basis)
    partition = Partition(0, table, trend, Position(0), is_rebuilt=True, is_dirty=True)
    event = Event("", "", "u", "i1", "click", 0.0, 0, 0.0)

    class Grounded:
        def __init__(self) -> None:
            self.basis = basis

    partition.fold(Grounded(), [event], last_seq=1)  # type: ignore[arg-type]
    profile_views(hold([partition], ["u"]), 0.0, basis.model, basis.settings.interest)
    type(table).from_columns(table.columns(), basis.settings.interest, table.kinds)


_compile()
