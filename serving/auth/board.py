"""The board of rates: one actor for all replicas of a store and tenant."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import RayError

from recsys.errors import UnavailableError
from serving.auth.limits import Buckets, Granted
from serving.pool.spec import PoolSpec

NAME = "rates"
TIMEOUT_S = 0.5


class Board:
    """Asks the actor, which is made where there is none; where it is lost it is made again.

    Args:
        spec: of the pool in whose namespace it lives.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._namespace = spec.namespace
        self._handle: Any = None

    async def take(self, name: str, rate: float, burst: float, n: int) -> Granted:
        """See ``Buckets.take``.

        Raises:
            UnavailableError: if it does not answer.
        """
        try:
            if self._handle is None:
                self._handle = self._made()
            async with asyncio.timeout(TIMEOUT_S):
                granted: Granted = await self._handle.take.remote(name, rate, burst, n)
        except (RayError, TimeoutError, ValueError) as error:
            self._handle = None
            raise UnavailableError("the board of rates", "does not answer") from error
        return granted

    def _made(self) -> Any:
        options = {"name": NAME, "namespace": self._namespace, "lifetime": "detached"}
        actor = ray.remote(num_cpus=0, max_restarts=-1)(Buckets)
        return actor.options(**options, get_if_exists=True).remote()
