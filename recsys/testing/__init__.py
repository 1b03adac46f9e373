"""For tests and benchmarks: synthetic worlds, fakes of the ports, and contracts they all pass."""

from recsys.testing.contracts import (
    EncoderContract,
    InterestModelContract,
    RetrieverContract,
)
from recsys.testing.fakes import (
    BruteRetriever,
    DecayedPairs,
    HashEncoder,
    tiny_bundle,
    tiny_items,
    tiny_log,
)
from recsys.testing.ledger_contract import LedgerContract
from recsys.testing.memory_ledger import MemoryLedger
from recsys.testing.models import random_bundle, random_interest
from recsys.testing.plain import PlainLog, plain_log, plain_tables
from recsys.testing.worlds import RecoveryLaw, World, WorldSize, drift, news, recovery, write

__all__ = [
    "BruteRetriever",
    "DecayedPairs",
    "EncoderContract",
    "HashEncoder",
    "InterestModelContract",
    "LedgerContract",
    "MemoryLedger",
    "PlainLog",
    "RecoveryLaw",
    "RetrieverContract",
    "World",
    "WorldSize",
    "drift",
    "news",
    "plain_log",
    "plain_tables",
    "random_bundle",
    "random_interest",
    "recovery",
    "tiny_bundle",
    "tiny_items",
    "tiny_log",
    "write",
]
