"""The Ray that ``cluster.local`` runs for a store on this machine: noted there, joined by commands.

Who has a Ray's token may run anything on it, so the note is for the eyes of its user alone.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recsys.errors import ConfigError
from recsys.ledger import Owner
from recsys.notes import cache_folder, note_path
from recsys.store import Store
from serving.pool.processes import is_gone, this_process

NOTE = "ray.json"
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class LocalRay:
    """A Ray that runs with the service of a store and tenant."""

    address: str
    """Host and port that drivers connect to."""
    token: str = field(repr=False)
    """Asked of whoever connects; empty = none is."""
    store: str
    tenant: str
    host: str
    """See ``Owner.host``, of the process that started it."""
    process: str
    """See ``Owner.process``."""

    def listens(self) -> bool:
        """Whether somebody takes connections there; to connect a driver to nobody takes minutes."""
        host, _, port = self.address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S):
                return True
        except OSError:
            return False

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that shall connect to it.

        It has to be there when the process starts: Ray reads it when it is imported.
        """
        auth = {"RAY_AUTH_MODE": "disabled"}
        if self.token:
            auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return {**environ, **auth, "RAY_ADDRESS": self.address}


@contextmanager
def noted(store: Store, tenant: str, address: str, token: str) -> Iterator[None]:
    """Note a Ray of this process for as long as the block lasts.

    Args:
        store: that is served on it.
        tenant: that is served on it.
        address: see ``LocalRay``.
        token: see ``LocalRay``.
    """
    me = this_process("", 0.0)
    running = LocalRay(address, token, store.uri, tenant, me.host, me.process)
    path = _path(store, tenant)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(running), file, indent=1)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(store: Store, tenant: str) -> LocalRay | None:
    """The Ray that was noted for a store and tenant; None where none is, or it is gone.

    Raises:
        ConfigError: if it is another machine's, or another user's.
    """
    path = _path(store, tenant)
    try:
        found = LocalRay(**json.loads(path.read_text(encoding="utf-8")))
    except PermissionError as error:
        raise ConfigError(
            f"the service of {store.uri}",
            f"is another user's: {path} cannot be read",
            "Run this command as that user, or set RAY_ADDRESS to a Ray of yours",
        ) from error
    except (FileNotFoundError, ValueError, TypeError):
        return None
    # a copied store brings the note of its original along
    if found.store != store.uri or is_gone(Owner("", found.host, found.process, 0.0)):
        return None
    if found.host != this_process("", 0.0).host:
        raise ConfigError(
            f"the service of {store.uri}",
            f"runs on {found.host}",
            f"Run this command there. If it is gone for good, remove {path}",
        )
    return found


def _path(store: Store, tenant: str) -> Path:
    return note_path(store, tenant, NOTE, cache_folder(os.environ, Path.home()))
