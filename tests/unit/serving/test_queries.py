"""Queries alone: what profiles ask for, without what users did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recsys.schema import Event
from serving.pool.packing import pack, unpack
from serving.pool.query_batch import QueryBatch
from serving.pool.shard import Shard

NOW = 1_700_000_000.0
MakeEvent = Callable[..., Event]
NewShard = Callable[[], Shard]


def test_queries_are_those_of_the_profiles(new_shard: NewShard, event: MakeEvent) -> None:
    shard = new_shard()
    shard.append([event("u1", "i1"), event("u2", "i3"), event("u1", "i2")])
    users = ["u2", "nobody", "u1"]
    sent: QueryBatch = unpack(pack(shard.queries(users, NOW + 60.0)))
    whole = shard.read(users, NOW + 60.0)
    assert sent.user_ids == tuple(users) and sent.is_known.tolist() == [True, False, True]
    for b, view in enumerate(whole):
        for asked, wanted in zip(sent.query.of(b), view.query, strict=True):
            np.testing.assert_array_equal(asked, wanted)
        assert (sent.partition[b], sent.version[b]) == (view.partition, view.version)
        assert sent.as_of[b] == view.as_of
