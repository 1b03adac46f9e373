"""What the archive knows of users beside events: attributes, and whom they follow.

Attributes come by ``pipelines.ingest`` and over HTTP. A process keeps the newest table in memory
and looks every few seconds whether there is a newer one, so that an erased user is forgotten here
too.
"""

from __future__ import annotations

import asyncio
import logging
import threading

import pyarrow as pa

from recsys.archive import Archive
from recsys.errors import RecsysError
from recsys.people import NOBODY, Person, person_at
from recsys.store import Store

log = logging.getLogger(__name__)


class People:
    """The users of one tenant.

    Args:
        store: where their table is.
        tenant: whose.
        limit: most users that are kept; of a larger table none are, and the log says so.
    """

    def __init__(self, store: Store, tenant: str, limit: int) -> None:
        self._archive = Archive(store)
        self.tenant = tenant
        self._limit = limit
        self._lock = threading.Lock()
        self._manifest_id: str | None = None
        self._table: pa.Table | None = None
        self._row_of: dict[str, int] = {}

    def of(self, user_id: str) -> Person:
        """What is known of a user; of somebody unknown nothing."""
        table, row = self._table, self._row_of.get(user_id)
        if table is None or row is None:
            return NOBODY
        return person_at(table, row)

    def refresh(self) -> None:
        """Take a newer table, if there is one.

        Raises:
            RecsysError: if it cannot be read; what was known before is kept.
        """
        with self._lock:  # of two at once, the one that read first would win
            self._refresh()

    def _refresh(self) -> None:
        manifest = self._archive.newer(self._manifest_id)
        if manifest is None:
            return
        table = self._archive.users(manifest, self.tenant)
        if len(table) > self._limit:
            log.warning("too many users to know their attributes", extra={"n_users": len(table)})
            table = table.slice(0, 0)
        row_of = {user_id: row for row, user_id in enumerate(table["user_id"].to_pylist())}
        self._row_of = {}  # a reader between the two lines finds nobody, and never somebody else
        self._table = table
        self._row_of = row_of
        self._manifest_id = manifest.manifest_id

    async def follow(self, every_s: float) -> None:
        """``refresh`` for ever; while it fails, what was known before is kept.

        Args:
            every_s: seconds between two looks.
        """
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except RecsysError as error:
                log.warning("attributes of users may be old: %s", error)
            await asyncio.sleep(every_s)
