"""What rules change of a slate: items that come in, go out or move, and by which rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One item that is not where it was."""

    item_id: str
    before: int | None
    """Its rank without the change; None = it was not shown."""
    after: int | None
    """Its rank with the change; None = it is not shown any more."""
    rules: tuple[str, ...]
    """Ids of the rules that are about it; none = it made room, or took room that others left."""


def differences(
    before: Sequence[str], after: Sequence[str], rules: Mapping[str, Sequence[str]]
) -> list[Change]:
    """What sets two slates apart: first what goes out, then the second slate from the top.

    Args:
        before: item ids, best first.
        after: item ids, best first.
        rules: item id -> ids of the rules that are about it.

    >>> differences(["a", "b"], ["b", "c"], {"a": ["no-a"]})[0]
    Change(item_id='a', before=1, after=None, rules=('no-a',))
    """
    was = {item_id: rank for rank, item_id in enumerate(before, start=1)}
    now = {item_id: rank for rank, item_id in enumerate(after, start=1)}
    gone = [item_id for item_id in before if item_id not in now]
    changed = [item_id for item_id in after if was.get(item_id) != now[item_id]]
    return [
        Change(one, was.get(one), now.get(one), tuple(rules.get(one, ())))
        for one in [*gone, *changed]
    ]
