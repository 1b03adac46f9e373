"""Ledgers by their URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote

from recsys.errors import ConfigError
from recsys.ledger.base import Ledger
from recsys.ledger.grouped import GroupedLedger
from recsys.ledger.sqlite import SqliteLedger

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a URL, made if missing, brought up if of an older version.

    Args:
        url: ``sqlite:////absolute/path.db`` (one machine; ``?groups=8`` spreads the partitions over
            so many files), or ``postgresql://user:password@host:port/database``.

    Raises:
        ConfigError: if the URL is of no known kind.
        LedgerError: if the database cannot be opened.
    """
    if url.startswith(_POSTGRES):
        from recsys.ledger.postgres import PostgresLedger  # noqa: PLC0415 - needs libpq

        return PostgresLedger(url)
    path, _, query = url.removeprefix(_SQLITE).partition("?")
    n_groups = _groups(query)
    if not url.startswith(_SQLITE) or path in ("", ":memory:") or n_groups is None:
        raise ConfigError(
            f"ledger {_shown(url)}",
            "is no URL of a ledger",
            "Write sqlite:////absolute/path.db (or .../path.db?groups=8), or"
            " postgresql://user:password@host:5432/database",
        )
    file = Path(unquote(path))
    return SqliteLedger(file) if n_groups == 1 else GroupedLedger(file, n_groups)


def _groups(query: str) -> int | None:
    """Number of files; None where the query says anything else."""
    options = parse_qs(query, keep_blank_values=True)
    values = options.pop("groups", ["1"])
    if len(options) > 0 or len(values) != 1 or not values[0].isdecimal():
        return None
    return int(values[0]) or None


def _shown(url: str) -> str:
    """Without a password."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
