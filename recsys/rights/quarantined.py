"""The quarantine without a user: raw rows in which the user's id stands as a value.

A quarantined row may lack any column, so it is the user's if any value in it is their id. A line
that is no JSON is theirs if the id stands in it between characters that are part of no id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from recsys.archive import Archive, Manifest
from recsys.rights.archived import Removed

IsUser = Callable[[str], bool]
_WORDS = re.compile(r"[^\s\"',;:=|\[\]{}()<>]+")


def names(raw: str, is_user: IsUser) -> bool:
    """Whether a quarantined row is of a user.

    Args:
        raw: column ``raw`` of the quarantine.
        is_user: whether an id is theirs.

    >>> names('{"who": 17, "what": "x"}', lambda id: id == "17")
    True
    >>> names('broken, "u 1", u17,', lambda id: id == "u17")
    True
    """
    try:
        values = list(_values(json.loads(raw)))
    except ValueError:
        values = [raw, *raw.split(","), *_WORDS.findall(raw)]
    return any(is_user(value.strip().strip("\"'")) for value in values)


def is_of(raw: str, user_id: str) -> bool:
    """Whether a quarantined row is of a user whose id is known, spaces and all.

    >>> is_of("broken;Jane Doe;click", "Jane Doe"), is_of("broken;Jane Doe-2;click", "Jane Doe")
    (True, False)
    """
    if names(raw, lambda value: value == user_id):
        return True
    try:
        json.loads(raw)
    except ValueError:
        alone = rf"(?<![\w-]){re.escape(user_id)}(?![\w-])"
        return re.search(alone, raw) is not None
    return False


def _values(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _values(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value)
    elif isinstance(tree, float) and tree.is_integer():
        yield from (str(tree), str(int(tree)))
    elif tree is not None and not isinstance(tree, bool):
        yield str(tree)


def without(rows: pa.Table, is_user: IsUser) -> pa.Table:
    """Rows of the quarantine that are not of a user."""
    return _rest(rows, [names(raw, is_user) for raw in rows["raw"].to_pylist()])


def _rest(rows: pa.Table, theirs: list[bool]) -> pa.Table:
    return rows.filter(pa.array([not one for one in theirs], pa.bool_())) if any(theirs) else rows


def rows_of(archive: Archive, user_id: str) -> Iterator[dict[str, Any]]:
    """The quarantined rows of a user, of whatever tenant: the quarantine knows none."""
    for path in archive.store.paths("quarantine"):
        rows = archive.store.read_table(path)
        theirs = [is_of(raw, user_id) for raw in rows["raw"].to_pylist()]
        yield from rows.filter(pa.array(theirs, pa.bool_())).to_pylist()


def remove_quarantined(archive: Archive, user_id: str) -> Removed:
    """Write the files of the quarantine anew without a user; the manifest counts what is left."""
    store, removed = archive.store, Removed()
    for path in store.paths("quarantine"):
        rows = store.read_table(path)
        rest = _rest(rows, [is_of(raw, user_id) for raw in rows["raw"].to_pylist()])
        if len(rest) == len(rows):
            continue
        new = {store.write_table("quarantine", rest)[0]: len(rest)} if len(rest) > 0 else {}
        _rename(archive, path, new)
        store.delete(path)
        removed += Removed(1, len(rows) - len(rest))
    return removed


def _rename(archive: Archive, path: str, new: dict[str, int]) -> None:
    def change(current: Manifest) -> Manifest:
        if path not in current.quarantine:
            return current
        rest = {name: n for name, n in current.quarantine.items() if name != path}
        return replace(current, quarantine={**rest, **new})

    if archive.manifest() is not None:
        archive.publish(change)
