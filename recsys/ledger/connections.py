"""Connections that are used by one thread at a time and kept for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

C = TypeVar("C")


class Connections(Generic[C]):
    """A stock of connections, as many as were ever used at once.

    Args:
        connect: opens one.
        is_sound: whether one that lay idle may be used again.
        disconnect: closes one.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        is_sound: Callable[[C], bool],
        disconnect: Callable[[C], None],
    ) -> None:
        self._connect = connect
        self._is_sound = is_sound
        self._disconnect = disconnect
        self._idle: list[C] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def take(self) -> C:
        """An idle connection, or a new one."""
        while True:
            with self._lock:
                if len(self._idle) == 0:
                    break
                connection = self._idle.pop()
            if self._is_sound(connection):
                return connection
            self._disconnect(connection)
        return self._connect()

    def put_back(self, connection: C) -> None:
        """Keep a connection for the next; close it if it is broken, or if all were closed."""
        if self._is_sound(connection):
            with self._lock:
                if not self._is_closed:
                    self._idle.append(connection)
                    return
        self._disconnect(connection)

    def close(self) -> None:
        """Close the idle ones now, and those in use when they are put back."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for connection in idle:
            self._disconnect(connection)
