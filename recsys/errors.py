"""The error tree of Halflife.

    RecsysError
    |-- ConfigError           a setting or an argument is missing, unknown or out of range
    |-- DataError             a log or a file cannot be used as a whole
    |   |-- EventError        one event is refused (HTTP 422)
    |   `-- RuleError         a business rule is refused (HTTP 422)
    |-- NotFoundError         an item, bundle, dataset or file that does not exist (HTTP 404)
    |-- StoreError            the store cannot be read or written
    |   |-- ConflictError     somebody else moved the pointer first; read it again and retry
    |   `-- ChecksumError     stored bytes are not the bytes that were published
    |-- LedgerError           the ledger database refused or failed
    |   |-- StaleEpochError   a partition is owned by somebody else by now; nothing was committed
    |   |-- LedgerFullError   its disk is full; nothing was committed
    |   `-- LedgerCorruptError  a database file is not sound; its partitions stand still
    |-- LeakageError          an artifact knows data from after the moment it is asked about
    `-- UnavailableError      try again after ``retry_after_s`` (HTTP 503)
        |-- WrongOwnerError   a partition is served elsewhere; ask for the map again
        `-- RetiredError      a pool that another bundle's has replaced; ask that one

Callers catch ``RecsysError`` or a leaf, nothing wider. Every error pickles: it crosses processes.
"""

from __future__ import annotations


class RecsysError(Exception):
    """Something that Halflife can name: the thing, its value and the remedy."""

    def __init__(self, thing: str, problem: str, remedy: str = "") -> None:
        super().__init__(thing, problem, remedy)
        self.thing = thing
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.thing}: {self.problem}"
        return f"{text}. {self.remedy}" if self.remedy else text


class ConfigError(RecsysError):
    """A setting or an argument is missing, unknown or out of range."""


class DataError(RecsysError):
    """A log or a file cannot be used as a whole."""


class EventError(DataError):
    """One event is refused."""


class RuleError(DataError):
    """A business rule is refused."""


class NotFoundError(RecsysError):
    """The named thing does not exist."""


class StoreError(RecsysError):
    """The store cannot be read or written."""


class ConflictError(StoreError):
    """A pointer was moved by somebody else since it was read."""


class ChecksumError(StoreError):
    """Stored bytes differ from those that were published."""


class LedgerError(RecsysError):
    """The ledger database refused or failed.

    Args:
        thing: the database, or the partitions in words.
        problem: what is wrong with it.
        remedy: what the caller can do.
        partitions: those of the call that it concerns; empty = all of them.
    """

    def __init__(
        self, thing: str, problem: str, remedy: str = "", partitions: tuple[int, ...] = ()
    ) -> None:
        super().__init__(thing, problem, remedy)
        self.args = (thing, problem, remedy, partitions)
        self.partitions = partitions


class StaleEpochError(LedgerError):
    """Partitions that somebody else owns by now, or that were released; nothing was committed."""


class LedgerFullError(LedgerError):
    """The ledger's disk is full; nothing was committed."""


class LedgerCorruptError(LedgerError):
    """A database file is not sound; its partitions stand still until it is restored."""


class LeakageError(RecsysError):
    """An artifact knows data from after the moment it is asked about."""


class UnavailableError(RecsysError):
    """A part is away for a moment.

    Args:
        thing: the part.
        problem: what is wrong with it.
        remedy: what the caller can do.
        retry_after_s: seconds after which a retry makes sense.
    """

    def __init__(
        self, thing: str, problem: str, remedy: str = "", retry_after_s: float = 1.0
    ) -> None:
        super().__init__(thing, problem, remedy)
        self.args = (thing, problem, remedy, retry_after_s)
        self.retry_after_s = retry_after_s


class WrongOwnerError(UnavailableError):
    """A partition is not, or no longer, served by the shard that was asked.

    Args:
        thing: the partition.
        problem: what is wrong with it.
        remedy: what the caller can do.
        retry_after_s: seconds after which a retry makes sense.
        partition: its number.
    """

    def __init__(
        self,
        thing: str,
        problem: str,
        remedy: str = "",
        retry_after_s: float = 0.1,
        partition: int = -1,
    ) -> None:
        super().__init__(thing, problem, remedy, retry_after_s)
        self.args = (thing, problem, remedy, retry_after_s, partition)
        self.partition = partition

    @classmethod
    def of(cls, partition: int, shard: str) -> WrongOwnerError:
        """The refusal of a shard that does not own a partition."""
        thing, problem = f"partition {partition}", f"is not served by {shard}"
        return cls(thing, problem, "Ask for the map again", partition=partition)


class RetiredError(UnavailableError):
    """A pool that another took the place of: what it held is served by that one."""
