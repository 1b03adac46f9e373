"""The ledger: the durable tail of the record, in a database, committed before anyone is told."""

from recsys.ledger.base import (
    DUPLICATE,
    ERASED,
    TAIL,
    UNOWNED,
    Claim,
    Ledger,
    Owner,
)
from recsys.ledger.erasure import ERASURE_KEY, erasure_pseudonym
from recsys.ledger.opening import open_ledger
from recsys.ledger.sqlite import SqliteLedger

__all__ = [
    "DUPLICATE",
    "ERASED",
    "ERASURE_KEY",
    "TAIL",
    "UNOWNED",
    "Claim",
    "Ledger",
    "Owner",
    "SqliteLedger",
    "erasure_pseudonym",
    "open_ledger",
]
