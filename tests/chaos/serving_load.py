"""Clients of a service under trouble: what they were told, and whether it was kept."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import psutil

from tests.benchmarks.http_parts.site import Site

REPLICA, SHARD, PROXY = "ServeReplica:halflife:Gateway", "ray::ShardActor", "ray::ProxyActor"
TIMEOUT_S = 30.0
PAUSE_S = 0.2
"""After a connection was cut: a client that knocks on and on slows down what it waits for."""


def processes(site: Site, title: str) -> list[psutil.Process]:
    """The processes of a site that are called so."""
    found = []
    for process in psutil.Process(site.pid).children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def comes_true(holds: object, within_s: float) -> bool:
    """Whether something holds before long."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.2)
    return False


@dataclass
class Clients:
    """Threads that send events and ask for slates, each for a user of its own, while it is open."""

    site: Site
    n_clients: int
    by_status: Counter[int] = field(default_factory=Counter)
    """Replies; -1 = the connection was cut, or there was no answer in time."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Of each user, the events that were said to be taken."""
    details: Counter[str] = field(default_factory=Counter)
    """What errors of the server said."""

    def __enter__(self) -> Self:
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(f"chaos-{n}",), daemon=True)
            for n in range(self.n_clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    @property
    def n_5xx(self) -> int:
        """Replies with a status of 5xx."""
        return sum(n for status, n in self.by_status.items() if status >= 500)

    def lost(self) -> dict[str, tuple[int, int]]:
        """User -> events that were acknowledged, and those that are there, where it is fewer."""
        found = {}
        with httpx.Client(base_url=self.site.url, timeout=TIMEOUT_S) as client:
            for user, n in self.acknowledged.items():
                reply = client.get(f"/v1/users/{user}/profile").raise_for_status()
                if reply.json()["n_events"] < n:
                    found[user] = (n, reply.json()["n_events"])
        return found

    def _ask(self, user: str) -> None:
        client = httpx.Client(base_url=self.site.url, timeout=TIMEOUT_S)
        n = 0
        while not self._stopped.is_set():
            n += 1
            event = {"user_id": user, "item_id": f"i{n % 100}", "kind": "click"}
            try:
                if n % 4 == 0:
                    reply = client.post("/v1/events", json={**event, "event_id": f"{user}-{n}"})
                else:
                    reply = client.get(f"/v1/users/{user}/recommendations?k=10")
                status, said = reply.status_code, reply.text[:200]
            except httpx.HTTPError as error:
                status, said = -1, type(error).__name__
                client.close()
                time.sleep(PAUSE_S)
                client = httpx.Client(base_url=self.site.url, timeout=TIMEOUT_S)
            with self._lock:
                self.by_status[status] += 1
                if status == 202:
                    self.acknowledged[user] += 1
                if status >= 500 or status < 0:
                    self.details[said] += 1
        client.close()
