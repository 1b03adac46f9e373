"""The rule sets of a tenant in the store: files named after their content, and one pointer.

The pointer holds which set counts and which ones did before, so that both change together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from recsys.errors import ChecksumError, ConflictError, NotFoundError
from recsys.rules.schema import RuleSet, read_rules
from recsys.store import DIGEST_CHARS, Store, digest

FORMAT_VERSION = 1
N_HISTORY = 100


@dataclass(frozen=True)
class Turn:
    """A version that was made the current one."""

    version: str
    at: float
    """Unix seconds."""


@dataclass(frozen=True)
class Current:
    """The pointer as it was read."""

    history: tuple[Turn, ...]
    """Oldest first; the last one counts. Empty = there were never any rules."""
    token: str | None
    """What the pointer's next move is held against."""

    @property
    def version(self) -> str | None:
        """Which rules count; None = none were ever written."""
        return self.history[-1].version if len(self.history) > 0 else None


def read_current(store: Store, tenant: str) -> Current:
    """Which version counts, and which ones did.

    Raises:
        StoreError: if the store cannot be read, or the pointer is not sound.
    """
    value, token = store.read_pointer(_pointer(tenant))
    try:
        turns = [] if value is None else value["history"]
        history = tuple(Turn(str(one["version"]), float(one["at"])) for one in turns)
    except (KeyError, TypeError, ValueError) as error:
        place = f"{store.uri}/{_pointer(tenant)}"
        raise ChecksumError(place, "is no pointer to rules", "Restore it") from error
    return Current(history, token)


def load_version(store: Store, tenant: str, version: str | None) -> RuleSet:
    """The rules of a version; None has none.

    Raises:
        NotFoundError: if there is no such version.
        ChecksumError: if the file is not what was written.
    """
    if version is None:
        return RuleSet()
    if not version.isalnum():
        raise _unknown(version)
    try:
        data = store.read(_path(tenant, version))
    except NotFoundError as error:
        raise _unknown(version) from error
    if digest(data)[:DIGEST_CHARS] != version:
        raise _broken(store, tenant, version)
    return read_rules(json.loads(data))


def put_rules(
    store: Store, tenant: str, rule_set: RuleSet, expected: str | None, now: float
) -> Current:
    """Make a rule set the one that counts.

    Args:
        store: where to.
        tenant: whose.
        rule_set: sound, and compiled before.
        expected: the version that counts now; None = there were never any rules.
        now: Unix seconds.

    Raises:
        ConflictError: if another version counts.
    """
    current = _expected(store, tenant, expected)
    store.write(_path(tenant, rule_set.version), rule_set.content)
    return _move(store, tenant, current, Turn(rule_set.version, now))


def roll_back(
    store: Store, tenant: str, version: str | None, expected: str | None, now: float
) -> Current:
    """Make a version count that did before.

    Args:
        store: where to.
        tenant: whose.
        version: which; None = the one that counted before the present one.
        expected: as of ``put_rules``.
        now: Unix seconds.

    Raises:
        ConflictError: if another version counts than was expected.
        NotFoundError: if there is no such version, or none before.
    """
    current = _expected(store, tenant, expected)
    if version is None:
        earlier = [turn.version for turn in current.history if turn.version != current.version]
        if len(earlier) == 0:
            raise NotFoundError("rules", "have no version before", "PUT /v1/rules writes one")
        version = earlier[-1]
    load_version(store, tenant, version)
    return _move(store, tenant, current, Turn(version, now))


def _expected(store: Store, tenant: str, expected: str | None) -> Current:
    current = read_current(store, tenant)
    if current.version != expected:
        raise _conflict(expected, current.version)
    return current


def _move(store: Store, tenant: str, current: Current, turn: Turn) -> Current:
    history = (*current.history, turn)[-N_HISTORY:]
    told = [{"version": one.version, "at": one.at} for one in history]
    value = {"format_version": FORMAT_VERSION, "version": turn.version, "history": told}
    try:
        store.swap_pointer(_pointer(tenant), value, current.token)
    except ConflictError as error:
        raise _conflict(current.version, read_current(store, tenant).version) from error
    return read_current(store, tenant)


def _conflict(expected: str | None, found: str | None) -> ConflictError:
    problem = f"are at version {found}, not at {expected}"
    return ConflictError("rules", problem, "Read them again, and write with that expected_version")


def _unknown(version: str) -> NotFoundError:
    return NotFoundError(
        f"version {version[:64]} of the rules", "does not exist", "GET /v1/rules lists them"
    )


def _broken(store: Store, tenant: str, version: str) -> ChecksumError:
    place = f"{store.uri}/{_path(tenant, version)}"
    return ChecksumError(place, "is not what was written", "Restore it, or write the rules again")


def _pointer(tenant: str) -> str:
    return f"rules/{tenant}/CURRENT"


def _path(tenant: str, version: str) -> str:
    return f"rules/{tenant}/{version}.json"
