"""A search in the store: what was asked, and every trial that is over.

    tuning/<tenant>/<name>/CURRENT     pointer: identity, plan, trials
    tuning/<tenant>/<name>/best.yaml   settings of the best trial, a file that ``--config`` takes

A trial enters when it is over, so a search that was killed goes on with those that are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.bundles import differing_settings
from recsys.errors import ConfigError, ConflictError
from recsys.store import Store
from recsys.training.search import Trial

FORMAT_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Plan:
    """What the trials of a search have in common besides their settings."""

    until: float
    """Nothing at or after this time is read, Unix seconds; fixed when the search begins."""
    n_events: int
    """Of the record up to there."""


@dataclass(frozen=True)
class Record:
    """One search of a tenant.

    Raises:
        ConfigError: if the name cannot be part of a path.
    """

    store: Store
    tenant: str
    name: str
    owner: str = ""
    """The job that may write to it: of two jobs the one that came last."""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            problem = "cannot be part of a path"
            raise ConfigError(f"search name {self.name!r}", problem, "Use letters, digits, . _ -")

    @property
    def prefix(self) -> str:
        """Where the search stands in the store."""
        return f"tuning/{self.tenant}/{self.name}"

    def state(self) -> dict[str, Any] | None:
        """What the pointer says; None before the first search of this name.

        Raises:
            ConfigError: if a newer version of Halflife wrote it.
        """
        found, _ = self.store.read_pointer(self._pointer)
        if found is not None and found["format_version"] > FORMAT_VERSION:
            raise ConfigError(
                f"search {self.prefix}", f"has format {found['format_version']}", "Use --fresh"
            )
        return found

    def begin(self, identity: Mapping[str, Any], plan: Plan) -> None:
        """Start anew: forget an earlier search of this name."""
        _, token = self.store.read_pointer(self._pointer)
        value = {
            "format_version": FORMAT_VERSION,
            "owner": self.owner,
            "identity": dict(identity),
            "plan": vars(plan),
            "trials": {},
            "finished": False,
        }
        self.store.swap_pointer(self._pointer, value, token)

    def take_over(self) -> None:
        """Go on with a search: other jobs that write to it are refused from now on."""
        found, token = self.store.read_pointer(self._pointer)
        assert found is not None
        value = {**found, "owner": self.owner, "finished": False}
        self.store.swap_pointer(self._pointer, value, token)

    def check_same(self, identity: Mapping[str, Any], plan: Plan) -> None:
        """Refuse to go on where something else is asked.

        Raises:
            ConfigError: with the differences.
        """
        found = self.state()
        assert found is not None
        changed = differing_settings(found["identity"], identity)
        changed |= differing_settings(found["plan"], vars(plan))
        if changed:
            said = "; ".join(f"{name}: {a} -> {b}" for name, (a, b) in changed.items())
            raise ConfigError(
                f"search {self.name} of {self.store.uri}",
                f"is unfinished and was started otherwise ({said})",
                "Ask the same to resume it, --fresh to start anew, or another --name",
            )

    def trials(self) -> list[Trial]:
        """Those that are over, by number."""
        found = self.state()
        trees = [] if found is None else found["trials"].values()
        return sorted((Trial.of(tree) for tree in trees), key=lambda trial: trial.number)

    def put(self, trial: Trial) -> None:
        """Keep a trial that is over.

        Raises:
            ConflictError: if another job took the search over.
        """
        found, token = self._own()
        trials = {**found["trials"], str(trial.number): trial.as_dict()}
        self.store.swap_pointer(self._pointer, {**found, "trials": trials}, token)

    def finish(self, settings_file: str) -> None:
        """Keep the best settings, and mark the search as complete."""
        found, token = self._own()
        self.store.write(f"{self.prefix}/best.yaml", settings_file.encode())
        self.store.swap_pointer(self._pointer, {**found, "finished": True}, token)

    @property
    def _pointer(self) -> str:
        return f"{self.prefix}/CURRENT"

    def _own(self) -> tuple[dict[str, Any], str | None]:
        found, token = self.store.read_pointer(self._pointer)
        if found is None or found["owner"] != self.owner:
            raise ConflictError(
                f"search {self.prefix}", "was taken over by another job", "Let that one finish"
            )
        return found, token
