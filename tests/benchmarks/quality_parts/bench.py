"""What a run was asked for, and what its parts share: logs read once, models trained once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.settings import Settings, load
from tests.benchmarks.quality_parts.material import Log, dataset

Say = Callable[[str], None]
Found = dict[str, Any]
"""Of a part: ``figures`` (name -> number, as the last line has them) and ``details``."""


@dataclass(frozen=True)
class Bench:
    """The options of a run."""

    datasets: tuple[str, ...]
    n_seeds: int
    say: Say
    minutes: float | None = None
    """About the longest training; None = as long as the settings say."""
    assignments: tuple[str, ...] = ()
    """``section.field=value``, stronger than what a part sets."""
    max_queries: int = 20_000
    peers: Path | None = None
    """Folder of other programs' answers, and where questions to them are written."""
    peer_systems: tuple[str, ...] = ()
    """Those that are run where they have not answered yet."""
    chaos: Path | None = None
    """Report of the chaos suite."""
    scale: float = 1.0
    """Size of the synthetic worlds, 1 = as published."""
    variants: tuple[str, ...] = ()
    """Variants of the ablation; empty = all."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """What one part leaves for the next."""

    def settings(self, *more: str) -> Settings:
        """The settings of a part: the defaults, what it sets, and what the caller sets."""
        base = f"evaluation.max_queries={self.max_queries}"
        return load(assignments=[base, *more, *self.assignments])

    def log(self, name: str, *more: str) -> Log:
        """A public log, read under the settings of a part; read once."""
        key = ("log", name)
        if key not in self.memo:
            self.say(f"reading {name}")
            self.memo[key] = dataset(name, self.settings())
        found: Log = self.memo[key]
        return found.under(self.settings(*more))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made at the first call with this key."""
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]

    @property
    def seeds(self) -> Sequence[int]:
        """0, 1, ..."""
        return range(self.n_seeds)

    def scaled(self, n: int) -> int:
        """A size of a world."""
        return max(20, int(n * self.scale))
