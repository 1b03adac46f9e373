"""How far a consumer is, in numbers without names of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from serving.stream.messages import Place


@dataclass
class Counts:
    """What a consumer has done since it started."""

    n_events: int = 0
    """Events that the pool accepted."""
    n_duplicates: int = 0
    """Events that the pool knew already; those of a batch that was sent again are among them."""
    n_poison: int = 0
    """Messages in the quarantine."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Poison by reason."""
    n_retries: int = 0
    """Times that the pool or the store were away."""
    n_commits: int = 0
    """Batches whose offsets are committed."""
    n_erased: int = 0
    """Events that were dropped, for their user was erased after them."""

    def add_poison(self, reason: str) -> None:
        """One more message is in the quarantine."""
        self.n_poison += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def n_handled(self) -> int:
        """Messages that were dealt with, the same one again included."""
        return self.n_events + self.n_duplicates + self.n_poison + self.n_erased


@dataclass(frozen=True)
class Progress:
    """A consumer at one moment."""

    counts: Counts = field(default_factory=Counts)
    lags: Mapping[Place, int] = field(default_factory=dict)
    """Messages of each of its partitions that are not acknowledged yet."""
    commit_age_s: float = 0.0
    """Seconds for which the oldest message read has not been committed; 0 = all are."""


def total(all_counts: Iterable[Counts]) -> Counts:
    """The sum of several consumers' counts."""
    sum_ = Counts()
    for counts in all_counts:
        sum_.n_events += counts.n_events
        sum_.n_duplicates += counts.n_duplicates
        sum_.n_poison += counts.n_poison
        sum_.n_retries += counts.n_retries
        sum_.n_commits += counts.n_commits
        sum_.n_erased += counts.n_erased
        for reason, count in counts.reasons.items():
            sum_.reasons[reason] = sum_.reasons.get(reason, 0) + count
    return sum_
