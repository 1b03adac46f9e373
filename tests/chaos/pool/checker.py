"""Decides whether a run kept what the pool promises.

The sequences of the ledger are the order of everything: a profile of version v must be exactly the
fold of the user's rows up to v, whoever served it; and v must not lie below what was acknowledged,
or read, before the question was asked.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.pool.history import History, Row, Seen

RELATIVE, ABSOLUTE = 2e-3, 1e-4
"""By which a mass in float32 may differ from the oracle's."""


@dataclass(frozen=True)
class Oracle:
    """What masses are, the slow way."""

    half_lives_s: Sequence[float]
    importance: Mapping[str, float]
    """By kind."""

    def mass(self, rows: Iterable[Row], as_of: float) -> list[float]:
        """(H,) of some rows at a moment."""
        return [
            sum(self.importance[r.kind] * 2.0 ** (-(as_of - r.ts) / life) for r in rows)
            for life in self.half_lives_s
        ]


class Folds:
    """The masses of one user after each of the rows, in one pass over them.

    Args:
        oracle: what a row adds.
        rows: of the user, in the order of their sequences.
    """

    def __init__(self, oracle: Oracle, rows: Sequence[Row]) -> None:
        self._lives = np.array(oracle.half_lives_s)
        self._seqs = [row.seq for row in rows]
        ts = np.array([row.ts for row in rows], np.float64)
        self._last = float(ts.max(initial=0.0))
        added = np.array([oracle.importance[row.kind] for row in rows], np.float64)[:, None]
        decayed = added * np.exp2(-(self._last - ts)[:, None] / self._lives)
        self._sums = np.concatenate([np.zeros((1, len(self._lives))), np.cumsum(decayed, axis=0)])

    def n_upto(self, version: int) -> int:
        """Rows up to a sequence."""
        return bisect.bisect_right(self._seqs, version)

    def mass(self, n: int, as_of: float) -> list[float]:
        """(H,) of the first n rows at a moment."""
        masses: list[float] = (
            self._sums[n] * np.exp2(-(as_of - self._last) / self._lives)
        ).tolist()
        return masses


@dataclass
class Verdict:
    """Violations in words; a run is sound where there is none."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stale_writes: list[str] = field(default_factory=list)
    stale_reads: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Number of violations of each kind."""
        return {name: len(found) for name, found in vars(self).items()}

    def is_sound(self) -> bool:
        """Whether there is none."""
        return not any(self.counts().values())


def check(history: History, oracle: Oracle) -> Verdict:
    """All violations of a run."""
    verdict = Verdict(stale_reads=list(history.unread))
    seqs = {row.event_id: row.seq for row in history.rows}
    _check_record(history, seqs, verdict)
    _check_epochs(history.rows, verdict)
    _check_order(history, seqs, verdict)
    by_user: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(history.rows, key=lambda row: row.seq):
        by_user[row.user].append(row)
    folds = {user: Folds(oracle, rows) for user, rows in by_user.items()}
    nothing = Folds(oracle, [])
    for what, found in (("read", history.reads), ("recovered", history.recovered)):
        for seen in found:
            _check_content(what, seen, folds.get(seen.user, nothing), verdict)
    return verdict


def _check_record(history: History, seqs: Mapping[str, int], verdict: Verdict) -> None:
    """Acknowledged events stand in the ledger and in the recovered profiles, each once."""
    versions = {seen.user: seen.version for seen in history.recovered}
    for sent in {s for a in history.appends if a.is_acknowledged for s in a.events}:
        if sent.event_id not in seqs:
            verdict.lost.append(f"{sent.event_id} was acknowledged, and is not in the ledger")
        elif versions.get(sent.user, -1) < seqs[sent.event_id]:
            verdict.lost.append(f"{sent.event_id} was acknowledged, and is not in the profile")
    for event_id, n in Counter(row.event_id for row in history.rows).items():
        if n > 1:
            verdict.duplicated.append(f"{event_id} stands {n} times in the ledger")


def _check_epochs(rows: Sequence[Row], verdict: Verdict) -> None:
    """No row was committed by an owner whose time was over."""
    newest: dict[int, int] = {}
    for row in sorted(rows, key=lambda row: (row.partition, row.seq)):
        if row.writer_epoch is None:
            continue
        before = newest.get(row.partition, 0)
        newest[row.partition] = max(before, row.writer_epoch)
        known = row.epoch is None or (row.epoch == row.writer_epoch and not row.is_released)
        if row.writer_epoch < before or not known:
            verdict.stale_writes.append(
                f"{row.event_id}, sequence {row.seq} of partition {row.partition}, was committed"
                f" in epoch {row.writer_epoch} after {max(before, row.epoch or 0)}"
            )


def _check_order(history: History, seqs: Mapping[str, int], verdict: Verdict) -> None:
    """A read knows all that was known of its partition before it was asked."""
    known: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for append in history.appends:
        if append.is_acknowledged:
            for partition, version in append.versions.items():
                known[partition].append((append.end, version))
            for sent in append.events:
                known[sent.partition].append((append.end, seqs.get(sent.event_id, 0)))
    for seen in history.reads:
        known[seen.partition].append((seen.end, seen.version))
    floors = {partition: _Floor(found) for partition, found in known.items()}
    for seen in [*history.reads, *history.recovered]:
        floor = floors[seen.partition].before(seen.begin) if seen.partition in floors else 0
        if seen.version < max(floor, seen.min_version):
            verdict.stale_reads.append(
                f"{seen.user} was read at version {seen.version} of partition {seen.partition};"
                f" {floor} was known before, {seen.min_version} was asked for"
            )


class _Floor:
    """The highest version that was known before a moment."""

    def __init__(self, found: list[tuple[float, int]]) -> None:
        self._ends, self._highest = [], []
        highest = 0
        for end, version in sorted(found):
            highest = max(highest, version)
            self._ends.append(end)
            self._highest.append(highest)

    def before(self, moment: float) -> int:
        place = bisect.bisect_left(self._ends, moment)
        return self._highest[place - 1] if place > 0 else 0


def _check_content(what: str, seen: Seen, folds: Folds, verdict: Verdict) -> None:
    """A profile is the fold of its user's rows up to its version."""
    n = folds.n_upto(seen.version)
    told = f"{what} of {seen.user} at version {seen.version}: "
    if seen.n_events != n:
        found = verdict.duplicated if seen.n_events > n else verdict.lost
        found.append(f"{told}{seen.n_events} events instead of {n}")
        return
    for mass, expected in zip(seen.mass, folds.mass(n, seen.as_of), strict=True):
        if abs(mass - expected) > ABSOLUTE + RELATIVE * expected:
            found = verdict.duplicated if mass > expected else verdict.lost
            found.append(f"{told}a mass of {mass:.4f} instead of {expected:.4f}")
            return
