"""Manifests of bundles, and the pointer that names the published one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recsys.errors import ChecksumError, ConfigError, NotFoundError
from recsys.store import Store, digest

FORMAT_VERSION = 1
REMEDY = "Run `python -m pipelines.embed --store ...` first"
_VOLATILE = ("bundle_id", "created_at", "parent", "metrics", "quality")


def load_manifest(store: Store, tenant: str, bundle_id: str | None = None) -> dict[str, Any]:
    """The manifest of a bundle; None = the published one.

    Raises:
        NotFoundError: if there is none.
        ChecksumError: if its content does not match its id.
        ConfigError: if a newer version of the format wrote it.
    """
    if bundle_id is None:
        bundle_id = current_bundle_id(store, tenant)
    if bundle_id is None:
        raise NotFoundError(f"bundle of tenant {tenant} in {store.uri}", "does not exist", REMEDY)
    return read_manifest(store, manifest_path(tenant, bundle_id))


def current_bundle_id(store: Store, tenant: str) -> str | None:
    """The id of the published bundle; None before the first one."""
    pointer, _ = store.read_pointer(pointer_path(tenant))
    return None if pointer is None else str(pointer["bundle_id"])


def identity_of(manifest: Mapping[str, Any]) -> str:
    """The id of a bundle: the hash of all in its manifest but what changes nothing of it."""
    content = {k: v for k, v in manifest.items() if k not in _VOLATILE}
    content["ranking"] = manifest["ranking"]["weights"]
    return digest(json.dumps(content, sort_keys=True).encode())[:16]


def read_manifest(store: Store, path: str) -> dict[str, Any]:
    """A manifest by its path; errors as of ``load_manifest``."""
    try:
        manifest: dict[str, Any] = json.loads(store.read(path))
        found = identity_of(manifest)
    except ValueError as error:
        raise ChecksumError(f"{store.uri}/{path}", f"is no JSON ({error})", REMEDY) from error
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ConfigError(
            f"{store.uri}/{path}",
            f"has format version {manifest.get('format_version')}, not {FORMAT_VERSION}",
            "Use the version of halflife that wrote it, or run embed again",
        )
    if found != manifest["bundle_id"]:
        raise ChecksumError(f"{store.uri}/{path}", "was changed after it was published", REMEDY)
    return manifest


def manifest_path(tenant: str, bundle_id: str) -> str:
    """Where the manifest of a bundle stands in the store."""
    return f"bundles/{tenant}/{bundle_id}.json"


def pointer_path(tenant: str) -> str:
    """Where the pointer to the published bundle of a tenant stands in the store."""
    return f"bundles/{tenant}/CURRENT"


def move_pointer(store: Store, tenant: str, bundle_id: str, token: str | None) -> None:
    """Publish a bundle, if nobody did since ``token`` was read; else ``ConflictError``."""
    value = {"format_version": FORMAT_VERSION, "bundle_id": bundle_id}
    store.swap_pointer(pointer_path(tenant), value, token)
