"""Makes the compiled functions ready before a shard serves, so that no request waits for one.

Numba keeps what it compiled on disk: the first shard of a machine takes a while, the others, and
whatever is started again, do not.
"""

from __future__ import annotations

import numpy as np

from recsys.column_groups import decode_group, encode_group
from recsys.folding import empty_state
from recsys.interest.profiles import ProfileTable
from recsys.schema import Event
from recsys.snapshot import Position
from recsys.trend import TrendState
from serving.pool.partition import Ground, Partition
from serving.pool.view import hold, profile_views


def warm_up(ground: Ground) -> None:
    """Fold, read, save and load a user of whom nothing is known, all in memory."""
    settings = ground.settings
    table, trend = empty_state(ground.basis)
    event = Event("", "", "", None, settings.data.kinds[0], 0.0, 0, 0.0)
    partition = Partition(0, table, trend, Position(0), is_rebuilt=True, is_dirty=True)
    partition.fold(ground, [event], last_seq=1)
    profile_views(hold([partition], [event.user_id]), 0.0, ground.model, settings.interest)
    groups = {
        name: decode_group(encode_group(columns), copied=False)
        for name, columns in {**table.columns(), "trend": trend.columns()}.items()
    }
    TrendState.from_columns(groups.pop("trend"))
    given = settings.interest, table.kinds, table.passive_kinds, table.itemless_kinds
    ProfileTable.from_columns(groups, *given, table.storage)


def warm_up_eviction(ground: Ground) -> None:
    """Evict a user and bring them back: what no answer waits for just after a start."""
    table, _ = empty_state(ground.basis)
    table.memory.unpack(table.memory.pack(table.rows([""], create=True)))
    table.memory.remove(np.array([len(table.memory) - 1]))
    table.ids.remove(0)
