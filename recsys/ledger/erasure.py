"""Names of erased users, which say nothing without the key: HMAC-SHA256 over tenant and user."""

from __future__ import annotations

import hmac

ERASURE_KEY = "erasure-key"
"""Where the ledger registers the key of ``erasure_pseudonym``: hexadecimal, of no other use."""


def erasure_pseudonym(key: str, tenant: str, user_id: str) -> str:
    """The name by which an erased user is known, 64 hexadecimal characters.

    Args:
        key: hexadecimal; the value registered as ``ERASURE_KEY``.
        tenant: of the user.
        user_id: who.

    >>> erasure_pseudonym("00ff", "default", "u1")[:12]
    'b44f7f06a85e'
    """
    message = f"{tenant}\0{user_id}".encode()
    return hmac.digest(bytes.fromhex(key), message, "sha256").hex()
