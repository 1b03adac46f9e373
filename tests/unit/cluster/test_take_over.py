"""Partitions that a machine left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.local import release_others
from pipelines.job import open_job
from recsys.archive import create_store
from recsys.errors import ConfigError
from recsys.ledger import Owner, open_ledger
from recsys.store import Store
from serving.pool.processes import this_process


def test_what_another_machine_owned_is_released_and_what_this_one_owns_is_not(
    tmp_path: Path,
) -> None:
    create_store(Store(str(tmp_path / "s")), 4)
    job = open_job(str(tmp_path / "s"), f"sqlite:///{tmp_path}/l.db", "default")
    ledger = open_ledger(job.ledger_url)
    gone, me = Owner("shard-0", "gone", "p", 0.01), this_process("shard-0", 3.0)
    ledger.claim("default", [0, 1], gone)
    ledger.claim("other", [0], gone)
    with pytest.raises(ConfigError, match="--take-over"):
        ledger.claim("default", [0], me)
    assert release_others(job) == 2
    assert ledger.owners("default") == {}
    assert set(ledger.owners("other")) == {0}, "of another tenant nothing is known"
    ledger.release("other", {0: 1})
    ledger.claim("default", [0, 1], me)
    assert release_others(job) == 0
    assert set(ledger.owners("default")) == {0, 1}
