"""The receipt of an erasure: what was removed where and what stays, signed by HMAC-SHA256.

It names the user by pseudonym, so it can be kept. Whoever holds the ledger can tell whether it is
genuine; its key signs receipts and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from recsys.errors import DataError, LedgerError
from recsys.ledger import Ledger

RECEIPT_KEY = "receipt-key"
"""Where the ledger registers the key of receipts: hexadecimal."""
STAYS = (
    "the tombstone: a pseudonym that says nothing without the ledger's key, and its time",
    "weights of trained models, and what bundles count (transitions, births, trend weights), until"
    " the next training",
    "figures of evaluations, and the unnamed curves of their reports",
    "whatever lies outside: source logs, topics of a stream, backups, copies of outputs elsewhere",
)


def registered_key(ledger: Ledger, name: str, fresh: str) -> str:
    """The key that is registered under a name; made the first time.

    Args:
        ledger: where.
        name: ``ERASURE_KEY`` or ``RECEIPT_KEY``.
        fresh: 32 random bytes, hexadecimal, for the first time.
    """
    found = ledger.get_value(name)
    if found is None:
        ledger.put_value(name, fresh, 0)
        found = ledger.get_value(name)
    if found is None:
        raise LedgerError(f"value {name} of the ledger", "cannot be registered", "Try again")
    return found[0]


def signed(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt.

    Args:
        key: hexadecimal.
        content: JSON-ready.
    """
    plain = json.loads(json.dumps(content))
    return {**plain, "signature": _signature(key, plain)}


def is_genuine(key: str, receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt is as it was signed.

    Raises:
        DataError: if it is no receipt.
    """
    content = {name: value for name, value in receipt.items() if name != "signature"}
    if not isinstance(receipt.get("signature"), str):
        raise DataError("the receipt", "has no signature", "Give the JSON that erase printed")
    return hmac.compare_digest(_signature(key, content), receipt["signature"])


def _signature(key: str, content: Mapping[str, Any]) -> str:
    message = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(bytes.fromhex(key), message, hashlib.sha256).hexdigest()
