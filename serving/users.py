"""Single users: what is known of them, how it is changed, told and erased."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

from recsys.archive import Archive
from recsys.errors import UnavailableError
from recsys.ledger import ERASURE_KEY, Ledger, open_ledger
from recsys.people import Person, write_person
from recsys.rights.burying import burial, bury
from recsys.rights.erasing import Who
from recsys.rights.exporting import held
from recsys.rights.receipts import RECEIPT_KEY, registered_key, signed
from recsys.settings import Settings
from recsys.store import Store
from serving.people import People
from serving.tables import RETRY, Replaced, reaching


class UserDesk:
    """What is stored of a tenant's users.

    Args:
        store: with the archive.
        ledger_url: of the tail.
        people: the users that this process knows; brought up to date by each write.
        settings: of this process.
        now: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        ledger_url: str,
        people: People,
        settings: Settings,
        now: Callable[[], float],
    ) -> None:
        self._archive, self._ledger_url, self._people = Archive(store), ledger_url, people
        self._settings, self._now = settings, now
        self._writing, self._exporting = threading.Lock(), threading.Lock()
        self._replaced = Replaced(store, now)

    def of(self, user_id: str) -> Person:
        """What is known of a user; of somebody unknown nothing."""
        return self._people.of(user_id)

    async def write(self, user_id: str, change: Callable[[Person], Person]) -> Person:
        """Change what is known of a user, durably; this process knows it when this returns.

        Args:
            user_id: whose.
            change: makes what shall be known of what is known.

        Raises:
            DataError: if there are too many users to write one by one.
            UnavailableError: if the store does not answer, or others write all the time.
        """
        return await asyncio.to_thread(reaching, "users", lambda: self._write(user_id, change))

    async def erase(self, user_id: str, until: float) -> dict[str, Any]:
        """Let a user be gone for all who read; what their files hold is left to the job.

        Args:
            user_id: whom, known or not.
            until: Unix seconds; what they do later is kept.

        Returns:
            The signed receipt.

        Raises:
            UnavailableError: if ledger or store do not answer; a tombstone may stand by then.
        """
        return await asyncio.to_thread(reaching, "the user", lambda: self._erase(user_id, until))

    async def export(self, user_id: str) -> dict[str, Any]:
        """All that is held about a user; see ``recsys.rights.exporting.held``.

        Raises:
            UnavailableError: if it takes too long, or another one is being made.
        """
        limit_s = self._settings.serving.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.to_thread(reaching, "export", lambda: self._export(user_id))
        except TimeoutError as error:
            problem = f"takes longer than {limit_s:g} s"
            remedy = "Ask the operator to run `python -m pipelines.export`"
            raise UnavailableError("export", problem, remedy) from error

    @cached_property
    def _ledger(self) -> Ledger:
        return open_ledger(self._ledger_url)

    def _write(self, user_id: str, change: Callable[[Person], Person]) -> Person:
        with self._writing:
            user, limit = (self._people.tenant, user_id), self._settings.serving.api.max_users
            stamp = secrets.token_hex(16)
            written = write_person(self._archive, user, change, stamp, limit)
            self._people.refresh()
            if written.path is not None:
                self._replaced.wrote(written.path, written.replaced)
        return written.person

    def _erase(self, user_id: str, until: float) -> dict[str, Any]:
        began, tenant = self._now(), self._people.tenant
        key = registered_key(self._ledger, ERASURE_KEY, secrets.token_hex(32))
        receipt_key = registered_key(self._ledger, RECEIPT_KEY, secrets.token_hex(32))
        who = Who(tenant, user_id, key, until)
        with self._writing:
            bury(self._archive, self._ledger, who)
            self._people.refresh()
        return signed(receipt_key, burial(who, began, self._now()))

    def _export(self, user_id: str) -> dict[str, Any]:
        if not self._exporting.acquire(blocking=False):
            raise UnavailableError("export", "is being made for somebody else", RETRY)
        try:
            user = (self._people.tenant, user_id)
            return held(self._archive, self._ledger, user, self._settings, self._now())
        finally:
            self._exporting.release()
