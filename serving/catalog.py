"""The items of a tenant as the archive has them now: told, written, and taken away."""

from __future__ import annotations

import asyncio
import secrets
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping

import pyarrow as pa

from recsys.archive import Archive
from recsys.item_writing import Change, Item, ItemsWritten, item_at, write_items
from recsys.schema import ITEMS
from recsys.settings import Settings
from recsys.store import Store
from serving.tables import Replaced, reaching


class CatalogDesk:
    """The items of one tenant.

    Args:
        store: with the archive.
        tenant: whose.
        settings: of this process.
        now: Unix seconds.
    """

    def __init__(
        self, store: Store, tenant: str, settings: Settings, now: Callable[[], float]
    ) -> None:
        self._archive, self.tenant = Archive(store), tenant
        self._settings = settings
        self._replaced = Replaced(store, now)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._manifest_id: str | None = None
        self._path: str | None = None
        self._held: tuple[pa.Table, list[str]] = (ITEMS.empty_table(), [])
        self._follower: Callable[[], None] = _nobody

    @property
    def table(self) -> pa.Table:
        """The items as they were last read: schema ``ITEMS``, sorted by id."""
        return self._held[0]

    def tell(self, follower: Callable[[], None]) -> None:
        """Call somebody, from any thread, whenever this process wrote items."""
        self._follower = follower

    def refresh(self) -> bool:
        """Take a newer table, if there is one; whether there was.

        Raises:
            RecsysError: if it cannot be read; what was known before is kept.
        """
        with self._reading:  # of two at once, the one that read first would win
            manifest = self._archive.newer(self._manifest_id)
            if manifest is None:
                return False
            ref = manifest.items.get(self.tenant)
            path = None if ref is None else ref.path
            is_other = path != self._path
            if is_other:
                table = self._archive.items(manifest, self.tenant)
                self._held = (table, table["item_id"].to_pylist())
            self._path, self._manifest_id = path, manifest.manifest_id
            return is_other

    def of(self, item_id: str) -> Item | None:
        """What is known of an item; None = it is unknown, or was taken away."""
        table, ids = self._held
        row = bisect_right(ids, item_id) - 1
        if row < 0 or ids[row] != item_id:
            return None
        item = item_at(table, row)
        return None if item.is_gone else item

    def page(self, after: str, limit: int) -> tuple[dict[str, Item], str | None]:
        """The items whose ids follow one.

        Args:
            after: an id, which need not exist; the empty one stands before all.
            limit: most items.

        Returns:
            The items by id, ascending; and the id to go on after, None at the end.
        """
        table, ids = self._held
        found: dict[str, Item] = {}
        for row in range(bisect_right(ids, after), len(ids)):
            if len(found) == limit:
                return found, ids[row - 1]
            item = item_at(table, row)
            if not item.is_gone:
                found[ids[row]] = item
        return found, None

    async def write(self, changes: Mapping[str, Change]) -> Mapping[str, Item]:
        """Change items, durably; this process tells of the change when this returns.

        Args:
            changes: by item id.

        Raises:
            DataError: if there are too many items to write a few at a time.
            UnavailableError: if the store does not answer, or others write all the time.
        """
        written = await asyncio.to_thread(reaching, "items", lambda: self._write(changes))
        return written.items

    def _write(self, changes: Mapping[str, Change]) -> ItemsWritten:
        with self._writing:
            limit = self._settings.serving.api.max_items
            stamp = secrets.token_hex(16)
            written = write_items(self._archive, self.tenant, changes, stamp, limit)
            self.refresh()
            if written.path is not None:
                self._replaced.wrote(written.path, written.replaced)
                self._follower()
        return written


def _nobody() -> None:
    """Nobody is called."""
