"""The part of an erasure that is done at once, while everything goes on being served.

The tombstone refuses the user's earlier events from here on, and makes shards and readers pass over
those that are there; attributes go. What is left in files is for ``recsys.rights.erasing``, which
needs the rows to find what else is theirs, so none are removed here.
"""

from __future__ import annotations

from typing import Any

from recsys.archive import Archive
from recsys.ledger import Ledger
from recsys.rights.archived import remove_attributes
from recsys.rights.erasing import Who
from recsys.rights.receipts import STAYS

LEFT = ("vectors", "training", "snapshots", "ledger", "archive", "quarantine", "outputs", "scratch")
"""Places that were not looked through; the same names as in the receipt of a whole erasure."""


def bury(archive: Archive, ledger: Ledger, who: Who) -> None:
    """Let a user be gone for all readers; ``who.now`` is up to when."""
    ledger.bury(who.tenant, who.pseudonym, who.now)
    remove_attributes(archive, who.tenant, who.user_id)


def burial(who: Who, began: float, ended: float) -> dict[str, Any]:
    """What is signed: as of ``Erasing.receipt``, and the same for whom nothing was known.

    Args:
        who: the user.
        began: Unix seconds.
        ended: likewise.
    """
    return {
        "format": 1,
        "tenant": who.tenant,
        "pseudonym": who.pseudonym,
        "erased_until": who.now,
        "began": began,
        "ended": ended,
        "removed": {},
        "left": dict.fromkeys(LEFT, 1),
        "stays": list(STAYS),
    }
