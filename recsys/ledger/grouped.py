"""A ledger in several SQLite files: partition p stands in file p % N.

What breaks one file stops its partitions only. Small values and tombstones stand in every file,
so that each serves alone; the first file decides about values.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import LedgerCorruptError, LedgerError
from recsys.ledger.base import UNOWNED, Claim, Owner
from recsys.ledger.database import Session
from recsys.ledger.sqlite import REFUSED, SqliteLedger
from recsys.schema import Event

T = TypeVar("T")
_Open = tuple[SqliteLedger, Session]


class GroupedLedger:
    """See ``Ledger``, whose methods these are; a commit over several files may end in between.

    Files that cannot be opened are tried again at each call that needs them.

    Args:
        path: the first file; the others are named after it, with ``-1``, ``-2``, ...
        n_groups: how many files; fixed when they are made.

    Raises:
        ConfigError: if the files were made for another number.
        LedgerError: if one cannot be opened, unless others are sound and it is not.
    """

    def __init__(self, path: Path, n_groups: int) -> None:
        self._paths = [group_path(path, number) for number in range(n_groups)]
        self._open: dict[int, SqliteLedger] = {}
        self._lock = threading.RLock()
        self._sound(lambda _, __: None)

    def _group(self, number: int) -> SqliteLedger:
        with self._lock:
            if number not in self._open:
                group = SqliteLedger(self._paths[number], number, len(self._paths))
                self._open[number] = group
                _heal(list(self._open.values()))
            return self._open[number]

    def _of(self, partition: int) -> SqliteLedger:
        return self._group(partition % len(self._paths))

    def _shares(self, partitions: Iterable[int]) -> dict[int, list[int]]:
        """Partitions by group, groups rising."""
        shares: dict[int, list[int]] = defaultdict(list)
        for partition in partitions:
            shares[partition % len(self._paths)].append(partition)
        return dict(sorted(shares.items()))

    def _each(self, call: Callable[[int, SqliteLedger], T]) -> tuple[list[T], list[LedgerError]]:
        """What the groups answer, and the errors of those that do not."""
        answers, errors = [], []
        for number in range(len(self._paths)):
            try:
                with self._concerning(number, ()):
                    answers.append(call(number, self._group(number)))
            except LedgerError as error:
                errors.append(error)
        return answers, errors

    def _sound(self, call: Callable[[int, SqliteLedger], T]) -> list[T]:
        """What the groups answer, but for those whose files are not sound."""
        answers, errors = self._each(call)
        for error in errors:
            if len(answers) == 0 or not isinstance(error, LedgerCorruptError):
                raise error
        return answers

    def _all(self, call: Callable[[int, SqliteLedger], T]) -> list[T]:
        """What all groups answer; the sound ones are called even if others fail."""
        answers, errors = self._each(call)
        if len(errors) > 0:
            raise errors[0]
        return answers

    @contextmanager
    def _concerning(self, number: int, partitions: Iterable[int]) -> Iterator[None]:
        """Say which partitions an error concerns, and open a broken file anew next time."""
        try:
            yield
        except LedgerError as error:
            if len(error.partitions) > 0:
                raise
            if isinstance(error, LedgerCorruptError):
                with self._lock:
                    broken = self._open.pop(number, None)
                if broken is not None:
                    broken.close()
            named = tuple(sorted(set(partitions)))
            raise type(error)(error.thing, error.problem, error.remedy, named) from error

    @contextmanager
    def _serving(self, partition: int) -> Iterator[SqliteLedger]:
        with self._concerning(partition % len(self._paths), [partition]):
            yield self._of(partition)

    @contextmanager
    def _writing(self, number: int, partitions: Sequence[int]) -> Iterator[_Open]:
        with self._concerning(number, partitions):
            group = self._group(number)
            with group.writing() as db:
                yield group, db

    def append(
        self,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int] = UNOWNED,
    ) -> list[int]:
        """See ``Ledger.append``; what is refused is refused before any file commits."""
        sequences = [0] * len(events)
        positions: dict[int, list[int]] = defaultdict(list)
        for i, partition in enumerate(partitions):
            positions[partition % len(self._paths)].append(i)
        with ExitStack() as transactions:
            for number, share in sorted(positions.items()):
                mine = [partitions[i] for i in share]
                group, db = transactions.enter_context(self._writing(number, mine))
                with self._concerning(number, mine), group.translated(REFUSED):
                    got = group.append_within(db, mine, [events[i] for i in share], epochs)
                for i, sequence in zip(share, got, strict=True):
                    sequences[i] = sequence
        return sequences

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """See ``Ledger.tail``."""
        with self._serving(partition) as group:
            return group.tail(partition, after_seq, tenant)

    def last_seq(self, partition: int) -> int:
        """See ``Ledger.last_seq``."""
        with self._serving(partition) as group:
            return group.last_seq(partition)

    def trimmed_seq(self, partition: int) -> int:
        """See ``Ledger.trimmed_seq``."""
        with self._serving(partition) as group:
            return group.trimmed_seq(partition)

    def start_after(self, partition: int, seq: int) -> None:
        """See ``Ledger.start_after``."""
        with self._serving(partition) as group:
            group.start_after(partition, seq)

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """See ``Ledger.register_archived``."""
        number_of = pa.array([p % len(self._paths) for p in partitions], pa.int64())
        n_new = 0
        for number, share in self._shares(partitions).items():
            with self._concerning(number, share):
                rows = ids.filter(pc.equal(number_of, number))
                n_new += self._group(number).register_archived(share, rows)
        return n_new

    def trim(self, partition: int, upto_seq: int, keep_ids_after_ts: float) -> int:
        """See ``Ledger.trim``."""
        with self._serving(partition) as group:
            return group.trim(partition, upto_seq, keep_ids_after_ts)

    def trim_before(self, partition: int, ts: float) -> int:
        """See ``Ledger.trim_before``."""
        with self._serving(partition) as group:
            return group.trim_before(partition, ts)

    def claim(
        self,
        tenant: str,
        partitions: Sequence[int],
        owner: Owner,
        expected: Mapping[int, int] | None = None,
    ) -> list[Claim]:
        """See ``Ledger.claim``; after an error some files may have been claimed: claim again."""
        found: dict[int, Claim] = {}
        for number, share in self._shares(partitions).items():
            with self._concerning(number, share):
                claims = self._group(number).claim(tenant, share, owner, expected)
                found.update((claim.partition, claim) for claim in claims)
        return [found[p] for p in partitions if p in found]

    def epochs(self, tenant: str, partitions: Sequence[int]) -> dict[int, int]:
        """See ``Ledger.epochs``; what stands in a broken file is left out."""
        shares = self._shares(partitions)
        found: dict[int, int] = {}
        for answer in self._sound(lambda n, group: group.epochs(tenant, shares.get(n, []))):
            found.update(answer)
        return found

    def owners(self, tenant: str) -> dict[int, tuple[Owner, int]]:
        """See ``Ledger.owners``; what stands in a broken file is left out."""
        found: dict[int, tuple[Owner, int]] = {}
        for answer in self._sound(lambda _, group: group.owners(tenant)):
            found.update(answer)
        return dict(sorted(found.items()))

    def release(self, tenant: str, partitions: Mapping[int, int]) -> None:
        """See ``Ledger.release``."""
        shares = self._shares(partitions)
        self._all(
            lambda n, group: group.release(tenant, {p: partitions[p] for p in shares.get(n, [])})
        )

    def get_value(self, key: str) -> tuple[str, int] | None:
        """See ``Ledger.get_value``; the newest of what the sound files say."""
        answers = self._sound(lambda _, group: group.get_value(key))
        return max((a for a in answers if a is not None), key=lambda a: a[1], default=None)

    def put_value(self, key: str, value: str, version: int) -> bool:
        """See ``Ledger.put_value``; the first file decides, the others hold copies."""
        with self._concerning(0, ()):
            is_mine = self._group(0).put_value(key, value, version)
        if is_mine:
            self._all(lambda _, group: group.copy_values([(key, value, version + 1)]))
        return is_mine

    def bury(self, tenant: str, pseudonym: str, at: float) -> None:
        """See ``Ledger.bury``."""
        self._all(lambda _, group: group.bury(tenant, pseudonym, at))

    def erase(self, tenant: str, user_id: str, pseudonym: str, at: float) -> int:
        """See ``Ledger.erase``; what a broken file holds is erased when it is called again."""
        return sum(self._all(lambda _, group: group.erase(tenant, user_id, pseudonym, at)))

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        """See ``Ledger.tombstones``."""
        until: dict[str, float] = {}
        for answer in self._sound(lambda _, group: group.tombstones(tenant)):
            for name, at in answer:
                until[name] = max(at, until.get(name, at))
        return sorted(until.items(), key=lambda pair: (pair[1], pair[0]))

    def erasure_version(self, tenant: str) -> int:
        """See ``Ledger.erasure_version``; the newest of what the sound files say."""
        return max(self._sound(lambda _, group: group.erasure_version(tenant)))

    def close(self) -> None:
        """See ``Ledger.close``."""
        with self._lock:
            for group in self._open.values():
                group.close()
            self._open.clear()


def group_path(path: Path, number: int) -> Path:
    """The file of one group.

    >>> str(group_path(Path("l.db"), 0)), str(group_path(Path("l.db"), 2))
    ('l.db', 'l-2.db')
    """
    return path if number == 0 else path.with_stem(f"{path.stem}-{number}")


def _heal(groups: Sequence[SqliteLedger]) -> None:
    """Give each file the values and tombstones that any other has: one may be new."""
    if len(groups) < 2:
        return
    values = [row for group in groups for row in group.values()]
    tombstones = [row for group in groups for row in group.all_tombstones()]
    for group in groups:
        group.copy_values(values)
        group.copy_tombstones(tombstones)
