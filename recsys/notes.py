"""Where the processes of one machine leave notes for one another about a store and a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recsys.store import Store, digest


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """``$HALFLIFE_CACHE``, else ``.cache/halflife`` of a home."""
    configured = environ.get("HALFLIFE_CACHE")
    return Path(configured) if configured else home / ".cache" / "halflife"


def note_path(store: Store, tenant: str, kind: str, cache: Path) -> Path:
    """The file of a note: inside a local store; for a remote one in the user's cache folder.

    Args:
        store: whose.
        tenant: whose.
        kind: ending of the file's name, without its first dot.
        cache: see ``cache_folder``.
    """
    name = digest(f"{store.uri}\0{tenant}".encode())[:16]
    folder = cache if store.root is None else store.root
    return folder / "local" / f"{name}.{kind}"
