"""The pool that a consumer writes to: the one that runs, whatever bundle and settings made it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ray.util import list_named_actors

from recsys.errors import UnavailableError
from recsys.schema import Event
from serving.pool import AckBatch, PoolClient, PoolSpec
from serving.pool.spec import DIRECTORY


@dataclass(frozen=True)
class RunningSpec(PoolSpec):
    """A pool known by the generation in its actors' names."""

    running: str = ""

    @property
    def generation(self) -> str:
        """Of the actors that run."""
        return self.running


def running_spec(spec: PoolSpec) -> PoolSpec | None:
    """The pool of this store and tenant that runs on this Ray; None = there is none.

    Args:
        spec: the pool as this process would make it; that very pool goes before others.
    """
    prefix = f"{DIRECTORY}."
    found = [
        str(actor["name"]).removeprefix(prefix)
        for actor in list_named_actors(all_namespaces=True)
        if actor["namespace"] == spec.namespace and str(actor["name"]).startswith(prefix)
    ]
    if len(found) == 0:
        return None
    if spec.generation in found:
        return spec
    values = {field.name: getattr(spec, field.name) for field in fields(PoolSpec)}
    return RunningSpec(**values, running=found[-1])


class RunningPool:
    """Appends to whichever pool runs; after a failure it looks which one that is now.

    Args:
        spec: the pool as this process would make it.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec
        self._client: PoolClient | None = None
        self._runner = asyncio.Runner()

    def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit and fold events.

        Raises:
            UnavailableError: if no pool runs, or it does not answer in time; send all again.
        """
        try:
            return self._runner.run(self._found().append(events))
        except UnavailableError:
            self._client = None
            raise

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()

    def _found(self) -> PoolClient:
        if self._client is None:
            spec = running_spec(self._spec)
            if spec is None:
                raise UnavailableError(f"pool of {self._spec.store_uri}", "does not run")
            self._client = PoolClient(spec)
        return self._client
