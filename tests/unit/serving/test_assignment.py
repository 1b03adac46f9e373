"""The map: who shall own what, and how few partitions move."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import UnavailableError
from recsys.ledger import open_ledger
from serving.pool.assignment import LOAD_BOUND, MapRegistry, first_map, rendezvous, want
from serving.pool.spec import shard_roles


@given(n_partitions=st.integers(1, 512), n_shards=st.integers(1, 12))
def test_no_shard_owns_much_more_than_its_share(n_partitions: int, n_shards: int) -> None:
    owners = rendezvous(n_partitions, shard_roles(n_shards))
    assert len(owners) == n_partitions
    assert max(Counter(owners).values()) <= LOAD_BOUND * n_partitions / n_shards + 1


@pytest.mark.parametrize("n_shards", [2, 3, 4, 7])
def test_another_shard_takes_little_more_than_its_share(n_shards: int) -> None:
    before = rendezvous(64, shard_roles(n_shards))
    after = rendezvous(64, shard_roles(n_shards + 1))
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert 0 < moved <= 64 * (1 / (n_shards + 1) + 0.05)


def test_a_pool_without_shards_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one shard"):
        rendezvous(4, [])


def test_a_moved_partition_makes_a_newer_map() -> None:
    first = first_map(8, shard_roles(2))
    moved = first.moved(3, "shard-9")
    assert moved.version == first.version + 1 and moved.owners[3] == "shard-9"
    assert 3 in moved.partitions_of("shard-9")
    assert [o for p, o in enumerate(moved.owners) if p != 3] == [
        o for p, o in enumerate(first.owners) if p != 3
    ]


def test_the_registry_gives_back_what_was_written(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    registry = MapRegistry(ledger, "default")
    assert registry.read() is None
    written = registry.write(first_map(8, shard_roles(2), "g1"))
    assert MapRegistry(ledger, "default").read() == written
    assert MapRegistry(ledger, "other").read() is None


def test_who_did_not_see_the_last_map_cannot_replace_it(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    mine, other = MapRegistry(ledger, "default"), MapRegistry(ledger, "default")
    first = mine.write(first_map(8, shard_roles(2)))
    other.read()
    other.write(first.moved(0, "shard-1"))
    with pytest.raises(UnavailableError, match="replaced"):
        mine.write(first.moved(1, "shard-0"))
    newest = mine.read()
    assert newest is not None
    mine.write(newest.moved(1, "shard-0"))


def test_a_number_of_shards_is_asked_for(tmp_path: Path) -> None:
    registry = MapRegistry(open_ledger(f"sqlite:///{tmp_path}/l.db"), "default")
    with pytest.raises(UnavailableError, match="never ran"):
        want(registry, 3)
    first = registry.write(first_map(8, shard_roles(2)))
    assert want(registry, 3) == replace(first, version=2, n_wanted=3)
