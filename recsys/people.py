"""What is known of single users beside events, written one at a time.

The table of a tenant's users is one file that the manifest names, so a write makes a new file. The
one before stays for those who read it; each has a stamp of its own, so that no two are the same
file and an old one can be deleted for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive
from recsys.manifest import Manifest
from recsys.schema import USERS
from recsys.stamped import write_merged


@dataclass(frozen=True)
class Person:
    """What is known of a user beside events."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    follows: tuple[str, ...] = ()


NOBODY = Person()


@dataclass(frozen=True)
class Written:
    """One write."""

    person: Person
    """What is known now."""
    path: str | None
    """Of the table that has it; None = it was known before."""
    replaced: str | None
    """Of the table before."""


def person_in(users: pa.Table, user_id: str) -> Person:
    """What a table (schema ``USERS``) says of a user; of somebody unknown nothing."""
    rows = users.filter(pc.equal(users["user_id"], user_id))
    return NOBODY if len(rows) == 0 else person_at(rows, 0)


def person_at(users: pa.Table, row: int) -> Person:
    """What a row of a table (schema ``USERS``) says."""
    attributes, follows = users["attributes"][row].as_py(), users["follows"][row].as_py()
    known = {name: value for name, value in attributes or () if value is not None}
    return Person(known, tuple(name for name in follows or () if name is not None))


def write_person(
    archive: Archive,
    user: tuple[str, str],
    change: Callable[[Person], Person],
    stamp: str,
    limit: int,
) -> Written:
    """Change what is known of one user.

    Args:
        archive: where.
        user: tenant and user id.
        change: makes what shall be known of what is known; called again if others wrote between.
        stamp: never used before.
        limit: most users of a table that is written this way: all of it is written anew.

    Raises:
        DataError: if the tenant has more users than that.
        ConflictError: if others write all the time.
    """
    tenant, user_id = user
    done = Written(NOBODY, None, None)

    def moved(current: Manifest) -> Manifest:
        nonlocal done
        table = archive.users(current, tenant)
        known = person_in(table, user_id)
        person, before = change(known), current.users.get(tenant)
        if person == known:
            done = Written(person, None, None)
            return current
        tables = table, _row(tenant, user_id, person)
        ref = write_merged(archive.store, "users", tables, stamp, limit)
        done = Written(person, ref.path, None if before is None else before.path)
        return replace(current, users={**current.users, tenant: ref})

    archive.publish(moved)
    return done


def _row(tenant: str, user_id: str, person: Person) -> pa.Table:
    row = {
        "tenant": tenant,
        "user_id": user_id,
        "attributes": list(person.attributes.items()),
        "follows": list(person.follows),
    }
    return pa.Table.from_pylist([row], schema=USERS)
