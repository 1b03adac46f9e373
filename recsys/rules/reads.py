"""What an expression reads: facts of items, of the request, or of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.rules.tokens import NAME, TEXT, Token, tokens

ITEM, USER, CONTEXT = "item", "user", "context"
ATTRIBUTES = "attributes"
KNOWN = "is_known"
NOW = f"{CONTEXT}.now"
AGE = "age_days"
ITEM_FIELDS = (
    "item_id",
    "title",
    "categories",
    ATTRIBUTES,
    "available_from",
    "available_until",
    "created_at",
    AGE,
)
"""What may follow ``item.``"""


@dataclass(frozen=True)
class Reads:
    """What an expression may read; never less than it does."""

    item: frozenset[str]
    """Fields of items; one attribute alone as ``attributes.NAME``."""
    request: frozenset[str]
    """``user.attributes``, ``user.is_known``, ``context``, or ``context.NAME`` for one name."""

    @property
    def is_item_only(self) -> bool:
        """Whether an item's answer is the same for every request at every moment."""
        return len(self.request) == 0 and AGE not in self.item

    @property
    def is_request_only(self) -> bool:
        """Whether all items have the same answer."""
        return len(self.item) == 0


def reads(source: str) -> Reads:
    """What an expression reads.

    >>> sorted(reads("item.title == context.title && item.attributes.brand != ''").item)
    ['attributes.brand', 'title']
    """
    words = tokens(source)
    fields: set[str] = set()
    request: set[str] = set()
    for place, word in enumerate(words):
        if word.kind != NAME:
            continue
        if word.text == ITEM:
            fields.update(_fields(words[place + 1 : place + 6]))
        elif word.text == USER:
            request.update(f"{USER}.{name}" for name in (ATTRIBUTES, KNOWN))
        elif word.text == CONTEXT:
            name = _attribute(words[place + 1 : place + 4])
            request.update([CONTEXT, NOW] if name is None else [f"{CONTEXT}.{name}"])
    return Reads(frozenset(fields), frozenset(request))


def _fields(following: Sequence[Token]) -> Sequence[str]:
    """The fields that the words after ``item`` name; all of them if they name none."""
    said = [word.text for word in following]
    if len(said) < 2 or said[0] != "." or said[1] not in ITEM_FIELDS:
        return ITEM_FIELDS
    if said[1] != ATTRIBUTES:
        return [said[1]]
    name = _attribute(following[2:])
    return [ATTRIBUTES if name is None else f"{ATTRIBUTES}.{name}"]


def _attribute(following: Sequence[Token]) -> str | None:
    """The name that the words after a map ask for; None = any."""
    said = [word.text for word in following]
    if len(said) >= 2 and said[0] == "." and following[1].kind == NAME:
        return None if said[2:3] == ["("] else said[1]
    if len(said) >= 3 and said[0] == "[" and said[2] == "]" and following[1].kind == TEXT:
        return _plain(said[1])
    return None


def _plain(literal: str) -> str | None:
    """The text of a literal without escapes and prefixes."""
    inside = literal[1:-1]
    if literal[0] not in "\"'" or "\\" in inside or literal[0] in inside:
        return None
    return inside
