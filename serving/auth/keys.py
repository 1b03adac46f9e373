"""API keys: a file of hashes, read anew when it changes.

A key is ``hl_<id>_<secret>``. The id finds the entry, and of the secret the file has the SHA-256
only: 256 random bits need no slow hash, for nobody can go through them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from recsys.errors import ConfigError, NotFoundError
from serving.auth.callers import Caller, Scope

log = logging.getLogger(__name__)

_KEY = re.compile(r"hl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"nobody").hexdigest()

Stamp = tuple[int, int, int]
"""What tells one content of a file from another: inode, size, nanoseconds of its change."""


class KeyEntry(BaseModel):
    """One key, without its secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the secret."""
    tenant: str
    scopes: Annotated[list[Scope], Field(min_length=1)]
    name: str
    """What people call it."""
    created_at: float
    """Unix seconds."""
    expires_at: float | None = None
    """Unix seconds; None = never."""
    requests_per_s: PositiveFloat | None = None


class KeyFile(BaseModel):
    """What a file of keys holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    keys: list[KeyEntry] = []


class KeyRing:
    """The keys that count now.

    Args:
        path: of the file.
        now: Unix seconds.

    Raises:
        ConfigError: if the file cannot be read, or is no file of keys.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path, self._now = path, now
        self._stamp: Stamp | None = None
        self._keys: dict[str, KeyEntry] = {}
        self.refresh()

    def caller(self, key: str) -> Caller | None:
        """Whose key it is; None = nobody's, or not any more."""
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        entry = self._keys.get(found[1])
        given = hashlib.sha256(found[2].encode()).hexdigest()
        is_right = hmac.compare_digest(given, _NOBODY if entry is None else entry.sha256)
        if entry is None or not is_right:
            return None
        if entry.expires_at is not None and entry.expires_at <= self._now():
            return None
        return Caller(
            f"key:{entry.id}", entry.tenant, frozenset(entry.scopes), entry.requests_per_s
        )

    def refresh(self) -> None:
        """Take what the file holds by now.

        Raises:
            ConfigError: if it cannot be read; the keys known before go on counting.
        """
        try:
            stamp = _stamp(self._path)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if stamp != self._stamp:
            self._keys = {entry.id: entry for entry in read_keys(self._path).keys}
            self._stamp = stamp
            log.info("keys", extra={"n_keys": len(self._keys)})


def read_keys(path: Path) -> KeyFile:
    """The keys in a file.

    Raises:
        ConfigError: if it cannot be read, or is no file of keys.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        problem = f"is no file of keys ({place}: {first['msg']})"
        raise ConfigError(str(path), problem, "Write it with `python -m serving.keys`") from error


def add_key(
    path: Path,
    entry_of: Callable[[str, str], KeyEntry],
) -> str:
    """Add a key to a file, which is made where there is none; the key is kept nowhere.

    Args:
        path: of the file.
        entry_of: the entry of an id and the secret's SHA-256.

    Raises:
        ConfigError: if the file cannot be read or written.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    entry = entry_of(key_id, hashlib.sha256(secret.encode()).hexdigest())
    _write(path, [*_present(path), entry])
    return f"hl_{key_id}_{secret}"


def end_key(path: Path, key_id: str, at: float) -> KeyEntry:
    """Let a key end at a moment.

    Args:
        path: of the file.
        key_id: which.
        at: Unix seconds; one that ends earlier already stays as it is.

    Raises:
        ConfigError: if the file cannot be read or written.
        NotFoundError: if it has no such key.
    """
    keys = _present(path)
    for place, entry in enumerate(keys):
        if entry.id == key_id:
            until = at if entry.expires_at is None else min(at, entry.expires_at)
            keys[place] = entry.model_copy(update={"expires_at": until})
            _write(path, keys)
            return keys[place]
    raise NotFoundError(
        f"key {key_id}", "does not exist", "`python -m serving.keys list` shows all"
    )


def _present(path: Path) -> list[KeyEntry]:
    return list(read_keys(path).keys) if path.exists() else []


def _write(path: Path, keys: Sequence[KeyEntry]) -> None:
    """The whole file or nothing, for the eyes of its user alone."""
    text = json.dumps(KeyFile(keys=list(keys)).model_dump(), indent=1)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be written ({error.strerror})") from error


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        str(path), f"cannot be read ({error.strerror})", "`python -m serving.keys create` makes one"
    )
