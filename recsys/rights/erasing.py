"""The erasure of one user, step by step, each safe to be the last one that happened.

    1. the tombstone: from here on their events are refused, and readers pass over the old ones
    2. what others share: vectors of their words, staged training rows, snapshots and item trend
    3. the ledger, then the archive, attributes, quarantine, outputs and leftovers

Words come before the rows that tell whose they were. Each step removes what it finds, so the same
again does what was left undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recsys.archive import Archive
from recsys.errors import ConflictError
from recsys.ledger import Ledger, erasure_pseudonym
from recsys.rights.archived import Removed, remove_attributes, remove_events, remove_orphans
from recsys.rights.erasures import Erasures, erasures_of
from recsys.rights.profiles import kept_snapshots, rewrite_snapshot
from recsys.rights.quarantined import remove_quarantined
from recsys.rights.receipts import STAYS
from recsys.rights.staged import (
    SCRATCH_S,
    remove_from_strays,
    remove_scratch,
    remove_staged,
)
from recsys.rights.texts import Traces, remove_vectors, traces
from recsys.schema import partition_of
from recsys.settings import Settings

_ATTEMPTS = 10


@dataclass(frozen=True)
class Who:
    """The user, and when."""

    tenant: str
    user_id: str
    key: str
    """Registered as ``ERASURE_KEY``."""
    now: float
    """Unix seconds; what they do later is kept."""

    @cached_property
    def pseudonym(self) -> str:
        """By which the tombstone names them."""
        return erasure_pseudonym(self.key, self.tenant, self.user_id)


class Erasing:
    """One erasure.

    Args:
        archive: of the store.
        ledger: the tail.
        who: the user.
        settings: of the process.
    """

    def __init__(self, archive: Archive, ledger: Ledger, who: Who, settings: Settings) -> None:
        self._archive, self._ledger = archive, ledger
        self._who, self._settings = who, settings
        self._partition = partition_of(who.tenant, who.user_id, archive.n_partitions)
        self._texts: frozenset[str] = frozenset()
        self.until = who.now
        """Unix seconds of the tombstone."""
        self.removed: dict[str, Removed] = defaultdict(Removed)
        """By place."""
        self.left: list[tuple[str, str, str]] = []
        """Place, path and why of what could not be rewritten."""

    @property
    def steps(self) -> Mapping[str, Callable[[], None]]:
        """What is done, in this order."""
        return {
            "tombstone": self._bury,
            "vectors": self._forget_words,
            "training": self._unstage,
            "snapshots": self._fold_anew,
            "ledger": self._clear_ledger,
            "archive": self._clear_archive,
            "quarantine": self._clear_quarantine,
            "outputs": self._clear_outputs,
            "scratch": self._clear_scratch,
        }

    def receipt(self, began: float, ended: float) -> dict[str, Any]:
        """What is signed: JSON-ready, without the user's id and without paths.

        Args:
            began: Unix seconds.
            ended: likewise.
        """
        places = [place for place, _, _ in self.left]
        return {
            "format": 1,
            "tenant": self._who.tenant,
            "pseudonym": self._who.pseudonym,
            "erased_until": self.until,
            "began": began,
            "ended": ended,
            "removed": {
                place: {"n_files": found.n_files, "n_rows": found.n_rows}
                for place, found in self.removed.items()
                if found != Removed()
            },
            "left": {place: places.count(place) for place in sorted(set(places))},
            "stays": list(STAYS),
        }

    def _bury(self) -> None:
        """Twice, if something of theirs is dated ahead: all that is there shall go."""
        who = self._who
        self._ledger.bury(who.tenant, who.pseudonym, self.until)
        found = self._traces()
        self._texts = found.texts
        if found.latest is not None and found.latest > self.until:
            self.until = found.latest
            self._ledger.bury(who.tenant, who.pseudonym, self.until)

    def _traces(self) -> Traces:
        for attempt in range(_ATTEMPTS):
            try:
                return traces(self._archive, self._ledger, self._who.tenant, self._who.user_id)
            except ConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _forget_words(self) -> None:
        self.removed["vectors"] += remove_vectors(self._archive.store, self._texts)

    def _unstage(self) -> None:
        store, who = self._archive.store, self._who
        self.removed["training"] += remove_staged(store, who.tenant, who.user_id, self._texts)

    def _fold_anew(self) -> None:
        for key in kept_snapshots(self._archive.store, self._who.tenant, self._partition):
            try:
                self.removed["snapshots"] += rewrite_snapshot(
                    self._archive, self._ledger, key, self._settings
                )
            except ConflictError as error:
                self.left.append(("snapshots", key.prefix, error.problem))

    def _clear_ledger(self) -> None:
        who = self._who
        n_rows = self._ledger.erase(who.tenant, who.user_id, who.pseudonym, self.until)
        self.removed["ledger"] += Removed(0, n_rows)

    def _clear_archive(self) -> None:
        keep = self._erasures.stays
        self.removed["archive"] += remove_events(self._archive, self._partition, keep)
        found, left = remove_orphans(
            self._archive, self._partition, keep, self._who.now - SCRATCH_S
        )
        self.removed["archive"] += found
        self._leave("archive", left, "a job may be about to publish it")
        self.removed["users"] += remove_attributes(
            self._archive, self._who.tenant, self._who.user_id
        )

    @property
    def _erasures(self) -> Erasures:
        return erasures_of(self._ledger, self._who.tenant)

    def _clear_quarantine(self) -> None:
        self.removed["quarantine"] += remove_quarantined(self._archive, self._who.user_id)

    def _clear_outputs(self) -> None:
        self.removed["outputs"] += remove_from_strays(self._archive.store, self._who.user_id)

    def _clear_scratch(self) -> None:
        store, who = self._archive.store, self._who
        found, left = remove_scratch(store, who.user_id, who.now)
        self.removed["scratch"] += found
        self._leave("scratch", left, "an ingest may be using it")

    def _leave(self, place: str, paths: list[str], why: str) -> None:
        self.left += [(place, path, why) for path in paths]
