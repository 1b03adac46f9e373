"""Calls of the actors of a pool. Everything they raise is ours; no text of Ray reaches a caller."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from recsys.errors import RecsysError, UnavailableError
from serving.pool.spec import PoolSpec


class ActorCalls:
    """Finds actors by their roles, and asks them.

    Args:
        spec: of the pool.
        attempt_s: seconds after which one call is given up.
    """

    def __init__(self, spec: PoolSpec, attempt_s: float) -> None:
        self._spec, self._attempt_s = spec, attempt_s
        self._methods: dict[tuple[str, str, str | None], Any] = {}

    def forget(self) -> None:
        """Look for all actors anew: one may have died, and another have its name."""
        self._methods.clear()

    async def ask(
        self, role: str, method: str, group: str | None, deadline: float, *args: Any
    ) -> Any:
        """What an actor answers.

        Args:
            role: of the actor.
            method: that is asked.
            group: concurrency group of the method; None = the actor has none.
            deadline: by ``time.monotonic``.
            args: of the method.

        Raises:
            UnavailableError: if it does not answer in time.
            RecsysError: as the actor raised it.
        """
        try:
            call = self._method(role, method, group)
            left_s = min(self._attempt_s, deadline - time.monotonic())
            async with asyncio.timeout(max(0.0, left_s)):
                return await call.remote(*args)
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, RecsysError):
                raise cause from None
            raise
        except (RayError, TimeoutError) as error:  # the actor, its node or its answer is lost
            raise UnavailableError(f"actor {role}", "does not answer", "Retry") from error

    def _method(self, role: str, method: str, group: str | None) -> Any:
        """The method, ready to be called: to find an actor and to name a group takes long."""
        key = (role, method, group)
        found = self._methods.get(key)
        if found is None:
            try:
                name = self._spec.actor_name(role)
                actor = ray.get_actor(name, namespace=self._spec.namespace)
            except ValueError as error:
                raise UnavailableError(f"actor {role}", "is not running", "Retry") from error
            options = {} if group is None else {"concurrency_group": group}
            found = self._methods[key] = getattr(actor, method).options(**options)
        return found
