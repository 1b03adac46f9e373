"""Errors of PostgreSQL as ours."""

from __future__ import annotations

import psycopg
from psycopg import errors

from recsys.errors import LedgerCorruptError, LedgerError, LedgerFullError

_UNREACHABLE = (
    "Check that the server runs and that --ledger is right; the same events may be sent again"
)
_TIMED_OUT = "Something holds the partition's row for too long; the same events may be sent again"


def of_postgres(name: str, problem: str, error: psycopg.Error) -> LedgerError:
    """The error of ours that one of the driver's becomes.

    Args:
        name: the ledger, without its password.
        problem: what could not be done.
        error: why.
    """
    thing, told = f"ledger {name}", f"{problem} ({str(error).strip() or type(error).__name__})"
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        remedy = "Make space on the server's disk; reads go on, what was refused may be sent again"
        return LedgerFullError(thing, f"has no space: {told}", remedy)
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return LedgerCorruptError(
            thing, f"is not sound: {told}", "Restore the database from a backup, or fail over"
        )
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return LedgerError(thing, told, _TIMED_OUT)
    return LedgerError(thing, told, _UNREACHABLE)
