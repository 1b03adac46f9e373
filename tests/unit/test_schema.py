import subprocess
import sys

import numpy as np
import pytest

from recsys.schema import EVENTS, Event, microseconds, partition_of


def test_an_event_has_the_columns_of_the_schema_in_their_order() -> None:
    assert list(Event._fields) == EVENTS.names


def test_only_nullable_columns_have_defaults() -> None:
    assert set(Event._field_defaults) == {f.name for f in EVENTS if f.nullable} - {"item_id"}


@pytest.mark.parametrize(
    ("tenant", "user_id", "partition"),
    [("default", "u1", 52), ("default", "ü", 24), ("a", "b", 35), ("", "", 8)],
)
def test_partitions_never_change(tenant: str, user_id: str, partition: int) -> None:
    assert partition_of(tenant, user_id, 64) == partition


def test_partitions_do_not_depend_on_the_process() -> None:
    code = "from recsys.schema import partition_of; print(partition_of('default', 'u7', 1024))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(said) == partition_of("default", "u7", 1024)


def test_tenant_and_user_do_not_run_into_each_other() -> None:
    assert partition_of("ab", "c", 2**61) != partition_of("a", "bc", 2**61)


def test_users_spread_evenly() -> None:
    found = [partition_of("default", f"user-{n}", 16) for n in range(16_000)]
    assert np.bincount(found, minlength=16).min() > 850


def test_times_round_to_microseconds() -> None:
    assert microseconds(881_250_949.1234567) == 881_250_949_123_457
    assert microseconds(-0.5) == -500_000
