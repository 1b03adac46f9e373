"""``Idempotency-Key``: a request that is sent again counts once, on whichever replica it arrives.

Events that have no id of their own get one that follows from the key and their position, and the
ledger takes an id of a user once. So no replica needs to know what another one has seen. That a key
comes again with another body is told where it is known: on the replica that saw the first.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Header

from recsys.errors import EventError

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 printable ASCII characters, fresh for each request and the same when "
        "it is sent again. Events without an event_id then count once, whatever replica takes "
        "them. The same key with another body is a 422 where the replica still knows the first.",
        examples=["6f1c8a52-visit-17"],
    ),
]


class KeysSeen:
    """The keys that a replica saw last, with digests of what came with them.

    Args:
        limit: most keys.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._digests: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def check(self, key: str, content: bytes, start: int = 0) -> None:
        """Remember what a key came with.

        Args:
            key: of the request.
            content: of the request, or of a part of it.
            start: the position at which that part begins.

        Raises:
            EventError: if the key is no key, or came with something else before.
        """
        if _KEY.fullmatch(key) is None:
            remedy = "Send 1 to 255 printable ASCII characters"
            raise EventError("Idempotency-Key", "is no key", remedy)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if self._digests.get((key, start), digest) != digest:
            remedy = "Send what you sent before, or take a fresh key"
            raise EventError("Idempotency-Key", "came with another body before", remedy)
        self._digests[key, start] = digest
        self._digests.move_to_end((key, start))
        while len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def forget(self, key: str) -> None:
        """The request was refused as a whole: the key is free."""
        self._digests.pop((key, 0), None)


def with_ids(raw: Sequence[Any], key: str | None, start: int = 0) -> list[Any]:
    """Events as they were sent; those without an id have one that follows from key and position.

    Args:
        raw: parsed JSON values.
        key: of the request; None = the events stay as they are.
        start: position of the first one.
    """
    if key is None:
        return list(raw)
    return [
        {**one, "event_id": derived_id(key, place)}
        if isinstance(one, dict) and one.get("event_id") is None
        else one
        for place, one in enumerate(raw, start)
    ]


def derived_id(*parts: str | int) -> str:
    """An event id that follows from its parts.

    >>> derived_id("key", 1) == derived_id("key", 1) != derived_id("key", 2)
    True
    """
    content = "\0".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
    return "i-" + hashlib.blake2b(content, digest_size=16).hexdigest()
