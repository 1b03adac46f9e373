"""The rules of one gateway: those that count, how they change, and how it hears of a change."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recsys.bundle import Bundle
from recsys.errors import ConflictError, RecsysError, StoreError, UnavailableError
from recsys.rules.bitmaps import Effort
from recsys.rules.compiled import CompiledRules, compile_rules
from recsys.rules.contradictions import Warned, warnings
from recsys.rules.items import ItemFacts
from recsys.rules.limits import Patience
from recsys.rules.schema import RuleSet, read_rules
from recsys.rules.versions import Current, load_version, put_rules, read_current, roll_back
from recsys.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """What counts now."""

    current: Current
    compiled: CompiledRules

    @cached_property
    def warnings(self) -> list[Warned]:
        """What is odd about it."""
        return warnings(self.compiled)


class RuleDesk:
    """Rules of a tenant, compiled for a bundle's catalog.

    Args:
        store: where they stand.
        bundle: of this gateway.
        timer: seconds, ever rising; it bounds how long bitmaps may take.

    Raises:
        RecsysError: if the rules that count cannot be read or compiled. A gateway without them
            would show what they filter, so there is none.
    """

    def __init__(self, store: Store, bundle: Bundle, timer: Callable[[], float]) -> None:
        self._store = store
        self._tenant = bundle.tenant
        self._items = ItemFacts(bundle.catalog)
        self._timer = timer
        self._lock = threading.Lock()
        current = read_current(store, self._tenant)
        self.standing = Standing(current, self._load(current.version))

    def compile(self, raw: Any) -> CompiledRules:
        """Rules that a client wrote, checked and compiled; they do not count yet.

        Args:
            raw: a list of rules, parsed from JSON.

        Raises:
            RuleError: if they are not sound.
        """
        return self._compiled(read_rules({"rules": raw}))

    def patience(self) -> Patience:
        """How long rules may be evaluated for one request."""
        return Patience(self._timer)

    def put(self, raw: Any, expected: str | None, now: float) -> Standing:
        """Write a whole set of rules; it counts at once here, and elsewhere within moments.

        Args:
            raw: as of ``compile``.
            expected: the version that the client has seen; None = there were never any rules.
            now: Unix seconds.

        Raises:
            RuleError: if they are not sound.
            ConflictError: if another version counts by now.
            UnavailableError: if the store does not answer.
        """
        compiled = self.compile(raw)
        with self._lock:
            current = _asking_store(
                lambda: put_rules(self._store, self._tenant, compiled.rule_set, expected, now)
            )
            return self._stand(current, compiled)

    def roll_back(self, version: str | None, expected: str | None, now: float) -> Standing:
        """Let an earlier version count; None = the one before the present one.

        Raises:
            NotFoundError: if there is no such version.
            ConflictError: if another version counts by now.
            UnavailableError: if the store does not answer.
        """
        with self._lock:
            current = _asking_store(
                lambda: roll_back(self._store, self._tenant, version, expected, now)
            )
            return self._stand(current, self._load(current.version))

    def refresh(self) -> bool:
        """Look whether other rules count by now, and take them; whether they do.

        Raises:
            RecsysError: if they cannot be read or compiled; those known before go on counting.
        """
        current = read_current(self._store, self._tenant)
        if current == self.standing.current:
            return False
        with self._lock:
            known = self.standing
            same = current.version == known.current.version
            compiled = known.compiled if same else self._load(current.version)
            self._stand(current, compiled)
            return not same

    async def follow(self, every_s: float) -> None:
        """``refresh`` for ever; while it fails, the rules known before go on counting.

        Args:
            every_s: seconds between two looks.
        """
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except RecsysError as error:
                log.warning("rules may be old: %s", error)
            await asyncio.sleep(every_s)

    def _stand(self, current: Current, compiled: CompiledRules) -> Standing:
        self.standing = Standing(current, compiled)
        log.info("rules", extra={"version": current.version, "n_rules": len(compiled.rules)})
        return self.standing

    def _load(self, version: str | None) -> CompiledRules:
        return self._compiled(load_version(self._store, self._tenant, version))

    def _compiled(self, rule_set: RuleSet) -> CompiledRules:
        effort = Effort(self._timer, progress=_tell)
        return compile_rules(rule_set, self._items, effort)


def _tell(n_done: int) -> None:
    if n_done % 65_536 == 0:
        log.info("compiling rules", extra={"n_evaluated": n_done})


def _asking_store(change: Callable[[], Current]) -> Current:
    try:
        return change()
    except ConflictError:
        raise
    except StoreError as error:
        log.error("rules cannot be changed", exc_info=error)
        remedy = "Retry; GET /v1/rules says whether it was done"
        raise UnavailableError("rules", "cannot be written now", remedy) from error
