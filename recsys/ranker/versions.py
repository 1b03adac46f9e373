"""The log of a tenant's moved weights: a file per version, and one pointer with their history.

A version is of one bundle; for another it does not count. Going back writes the old weights as a
new version, so nothing that was logged is ever lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from recsys.errors import ChecksumError, ConflictError, NotFoundError
from recsys.store import DIGEST_CHARS, Store, digest

FORMAT_VERSION = 1
N_HISTORY = 1_000

Cause = Literal["step", "revert"]


@dataclass(frozen=True)
class Version:
    """Weights that counted from some moment on."""

    bundle_id: str
    weights: Mapping[str, float]
    at: float
    """Unix seconds, of writing."""
    until: float
    """Unix seconds; slates shown up to this moment have been learned from."""
    cause: Cause
    parent: str | None
    """The version before; None = the weights as they were fitted."""
    moved: Mapping[str, float]
    """Feature -> by how much, in spreads of the feature."""
    n_slates: int
    surprise: float
    """See ``online.Moved``; 0.0 of a revert."""

    @property
    def content(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @property
    def name(self) -> str:
        """The hash of its content."""
        return digest(self.content)[:DIGEST_CHARS]


@dataclass(frozen=True)
class Log:
    """The pointer as it was read."""

    names: tuple[str, ...]
    """Versions, oldest first; the last one counts. Empty = weights never moved."""
    token: str | None
    """What the pointer's next move is held against."""


def read_log(store: Store, tenant: str) -> Log:
    """Which versions there are.

    Raises:
        StoreError: if the store cannot be read, or the pointer is not sound.
    """
    value, token = store.read_pointer(_pointer(tenant))
    try:
        names = () if value is None else tuple(str(name) for name in value["history"])
    except (KeyError, TypeError) as error:
        place = f"{store.uri}/{_pointer(tenant)}"
        raise ChecksumError(place, "is no pointer to ranking weights", "Restore it") from error
    return Log(names, token)


def read_version(store: Store, tenant: str, name: str) -> Version:
    """A version.

    Raises:
        NotFoundError: if there is none of that name.
        ChecksumError: if the file is not what was written.
    """
    unknown = NotFoundError(
        f"version {name[:64]} of the ranking weights",
        "does not exist",
        "`python -m pipelines.adapt list` names them",
    )
    if not name.isalnum():
        raise unknown
    try:
        data = store.read(_path(tenant, name))
    except NotFoundError as error:
        raise unknown from error
    if digest(data)[:DIGEST_CHARS] != name:
        place = f"{store.uri}/{_path(tenant, name)}"
        raise ChecksumError(place, "is not what was written", "Go back to another version")
    found: dict[str, Any] = json.loads(data)
    return Version(**found)


def latest(store: Store, tenant: str, bundle_id: str) -> Version | None:
    """The weights that count for a bundle; None = those it was published with."""
    names = read_log(store, tenant).names
    if len(names) == 0:
        return None
    found = read_version(store, tenant, names[-1])
    return found if found.bundle_id == bundle_id else None


def put_version(store: Store, tenant: str, version: Version, log: Log) -> None:
    """Make a version the one that counts.

    Args:
        store: where to.
        tenant: whose.
        version: the new one.
        log: as it was read before the version was worked out.

    Raises:
        ConflictError: if another one was written since.
    """
    store.write(_path(tenant, version.name), version.content)
    history = [*log.names, version.name][-N_HISTORY:]
    value = {"format_version": FORMAT_VERSION, "history": history}
    try:
        store.swap_pointer(_pointer(tenant), value, log.token)
    except ConflictError as error:
        remedy = "Run it again: it starts from there"
        raise ConflictError("ranking weights", "were moved by another job", remedy) from error


def _pointer(tenant: str) -> str:
    return f"ranking/{tenant}/CURRENT"


def _path(tenant: str, name: str) -> str:
    return f"ranking/{tenant}/{name}.json"
