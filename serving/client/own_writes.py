"""Version tokens of what a client wrote, so that it reads its own writes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

from serving.versions import format_versions, parse_versions

MAX_USERS = 10_000


class OwnWrites:
    """The tokens of the users written of late.

    Args:
        for_s: seconds for which a write is asked for; 0 = never. A read that asks for a write waits
            for it while a shard is away, where it would else get a slate from trend at once.
        clock: seconds, monotonic.
    """

    def __init__(self, for_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._for_s, self._clock = for_s, clock
        self._tokens: OrderedDict[str, tuple[float, dict[int, int]]] = OrderedDict()
        self._lock = Lock()

    def wrote(self, user_ids: Iterable[str], token: str) -> None:
        """Users were written, up to a version."""
        versions = parse_versions(token)
        with self._lock:
            for user_id in user_ids:
                _, held = self._tokens.pop(user_id, (0.0, {}))
                newest = {p: max(held.get(p, 0), versions.get(p, 0)) for p in {*held, *versions}}
                self._tokens[user_id] = (self._clock(), newest)
            while len(self._tokens) > MAX_USERS:
                self._tokens.popitem(last=False)

    def token(self, user_id: str | None) -> str | None:
        """What a read of a user must have seen; None = nothing that is known here."""
        with self._lock:
            at, versions = self._tokens.get(user_id or "", (0.0, {}))
        if len(versions) == 0 or self._clock() - at >= self._for_s:
            return None
        return format_versions(versions)
