"""Ledgers by their URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from recsys.errors import ConfigError
from recsys.ledger.base import Ledger
from recsys.ledger.sqlite import SqliteLedger

_PREFIX = "sqlite:///"


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a URL, made if missing, brought up if of an older version.

    Args:
        url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.

    Raises:
        ConfigError: if the URL is of no known kind.
        LedgerError: if the database cannot be opened.
    """
    path = unquote(url.removeprefix(_PREFIX))
    if not url.startswith(_PREFIX) or path in ("", ":memory:"):
        raise ConfigError(
            f"ledger {url}", "is no URL of a SQLite file", "Write sqlite:////absolute/path.db"
        )
    return SqliteLedger(Path(path))
