"""Blobs: the files of a bundle, named after their content, so that bundles share what is equal."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.store import DIGEST_CHARS, Store, digest

BlobEntry = Mapping[str, Any]
"""``{"path", "sha256", "n_bytes"}``, as it stands in a manifest."""


def put_blob(store: Store, name: str, data: bytes) -> dict[str, Any]:
    """Write one file; return its manifest entry ``{path, sha256, n_bytes}``."""
    sha256 = digest(data)
    path = f"blobs/{sha256[:DIGEST_CHARS]}{Path(name).suffix}"
    if store.size(path) != len(data):
        store.write(path, data)
    return {"path": path, "sha256": sha256, "n_bytes": len(data)}


def read_blob(store: Store, entry: BlobEntry) -> bytes:
    """The bytes of a manifest entry.

    Raises:
        NotFoundError: if the file is gone.
        ChecksumError: if it is not what was published.
    """
    return store.read(entry["path"], entry["sha256"])


def write_files(store: Store, files: Mapping[str, BlobEntry], folder: str | Path) -> Path:
    """Write blobs ``{name: entry}`` into a folder.

    Each file appears whole or not at all, and one that is there with the right size is kept:
    nothing in the folder tells versions apart, so give each set of files a folder of its own.

    Raises:
        ChecksumError: if a stored file is not what was published.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in files.items():
        target = folder / name
        if target.exists() and target.stat().st_size == entry["n_bytes"]:
            continue
        data = read_blob(store, entry)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
            partial.write(data)
        Path(partial.name).chmod(0o644)
        Path(partial.name).replace(target)
    return folder
