"""Profiles that were evicted from memory: a local file, from which a read or a fold brings them.

The file is no record: ledger and snapshots are. It is made anew by whoever opens it, so it needs no
durability, and what a process left that died is replaced; two processes that name one file have a
file each. A checksum per profile tells whether the disk gave back what it was given.
"""

from __future__ import annotations

import sqlite3
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from recsys.errors import ChecksumError, StoreError

_IDS_PER_QUERY = 500


class SpillFile:
    """Bytes by user id.

    Args:
        path: the file; what is there is replaced.

    Raises:
        StoreError: if it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=MEMORY")
            self._file.execute("PRAGMA synchronous=OFF")
            self._file.execute("CREATE TABLE profiles (user BLOB PRIMARY KEY, crc INT, data BLOB)")
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error
        self._n = 0
        self._end = weakref.finalize(self, _remove, self._file, path, path.stat().st_ino)

    def __len__(self) -> int:
        """Profiles that are in the file."""
        return self._n

    def put(self, profiles: Iterable[tuple[bytes, bytes]]) -> None:
        """Write profiles, id and content each; all of them or, if the disk is full, none.

        Raises:
            StoreError: if they cannot be written.
        """
        rows = [(user, zlib.crc32(data), data) for user, data in profiles]
        try:
            self._file.execute("BEGIN")
            try:
                self._file.executemany("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?)", rows)
                self._file.execute("COMMIT")
            except sqlite3.Error:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._n += len(rows)

    def take(self, users: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """The profiles of those of some users who are here; they are here no more.

        Raises:
            ChecksumError: if a profile is not what was written.
            StoreError: if the file cannot be read.
        """
        found = []
        for first in range(0, len(users), _IDS_PER_QUERY):
            some = list(dict.fromkeys(users[first : first + _IDS_PER_QUERY]))
            marks = ",".join("?" * len(some))
            where = f"FROM profiles WHERE user IN ({marks})"
            rows = self._rows(f"SELECT user, crc, data {where}", some)
            found += [self._checked(*row) for row in rows]
            if len(rows) > 0:
                self._rows(f"DELETE {where}", some)
                self._n -= len(rows)
        return found

    def parts(self, n_users: int) -> Iterator[list[tuple[bytes, bytes]]]:
        """All profiles, at most so many at a time; they stay.

        Raises:
            ChecksumError: if a profile is not what was written.
            StoreError: if the file cannot be read.
        """
        last = b""
        query = "SELECT user, crc, data FROM profiles WHERE user > ? ORDER BY user LIMIT ?"
        part = [self._checked(*r) for r in self._rows(query.replace(">", ">="), [last, n_users])]
        while len(part) > 0:
            yield part
            last = part[-1][0]
            part = [self._checked(*row) for row in self._rows(query, [last, n_users])]

    def users(self) -> list[bytes]:
        """Ids of all profiles.

        Raises:
            StoreError: if the file cannot be read.
        """
        try:
            return [user for (user,) in self._file.execute("SELECT user FROM profiles")]
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Remove the file; so it ends too when nobody holds it any more."""
        self._end()

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[bytes, int, bytes]]:
        try:
            return self._file.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _checked(self, user: bytes, crc: int, data: bytes) -> tuple[bytes, bytes]:
        if zlib.crc32(data) != crc:
            raise ChecksumError(
                f"spill file {self.path}", "gave back another profile than it was given"
            )
        return user, data

    def _error(self, error: Exception) -> StoreError:
        return StoreError(
            f"spill file {self.path}",
            f"cannot be used ({error})",
            "Free disk space, or set serving.spill_folder to another disk",
        )


def _remove(file: sqlite3.Connection, path: Path, inode: int) -> None:
    """Close the file, and take its name away if it still is its own."""
    file.close()
    if path.exists() and path.stat().st_ino == inode:
        path.unlink(missing_ok=True)
