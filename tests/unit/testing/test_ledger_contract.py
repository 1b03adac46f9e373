"""Every ledger keeps the contract, the fake one too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.ledger import Ledger, open_ledger
from recsys.testing import LedgerContract, MemoryLedger


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger()


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        yield ledger
        ledger.close()


class TestGroupedLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db?groups=3")
        yield ledger
        ledger.close()
