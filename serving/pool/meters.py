"""What a shard tells of itself: nothing by default, Ray's metrics in an actor.

Metrics carry the name of the shard and nothing of a user. Ray exports them to Prometheus at each
node's metrics port.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]


class Meters:
    """Hears everything and says nothing."""

    def appended(self, n_new: int, n_duplicates: int, seconds: float) -> None:
        """A batch was acknowledged, ``seconds`` after it came."""

    def committed(self, seconds: float) -> None:
        """The ledger committed a group of batches."""

    def opened(self, seconds: float, n_replayed: int) -> None:
        """A partition is served, after so many events of the record were folded."""

    def handed_over(self) -> None:
        """A partition was given up."""

    def state(self, n_partitions: int, n_users: int, rss_bytes: int, n_queued: int) -> None:
        """What there is now."""

    def copies(self, n_partitions: int) -> None:
        """So many partitions of others stand by."""

    def trend_age(self, seconds: float) -> None:
        """The board answered the last push so long ago."""


class RayMeters(Meters):
    """Ray metrics of one shard.

    Args:
        shard: its role.
    """

    def __init__(self, shard: str) -> None:
        tags = {"shard": shard}

        def counter(name: str, text: str) -> Counter:
            made = Counter(f"halflife_pool_{name}", text, ("shard",))
            made.set_default_tags(tags)
            return made

        def gauge(name: str, text: str) -> Gauge:
            made = Gauge(f"halflife_pool_{name}", text, ("shard",))
            made.set_default_tags(tags)
            return made

        def histogram(name: str, text: str) -> Histogram:
            made = Histogram(f"halflife_pool_{name}", text, _SECONDS, ("shard",))
            made.set_default_tags(tags)
            return made

        self._events = counter("events_total", "Events committed and folded")
        self._duplicates = counter("duplicates_total", "Events that were known already")
        self._append = histogram("append_seconds", "From a batch's arrival to its acknowledgement")
        self._commit = histogram("commit_seconds", "A commit of the ledger")
        self._recovery = histogram("open_seconds", "From a partition's claim to its first read")
        self._replayed = counter("replayed_events_total", "Events folded from the record to open")
        self._opened = counter("opened_total", "Partitions taken over: epochs begun")
        self._moved = counter("handed_over_total", "Partitions given up to another shard")
        self._partitions = gauge("partitions", "Partitions served")
        self._copies = gauge("standby_partitions", "Copies of partitions that others own")
        self._users = gauge("users", "Profiles in memory")
        self._memory = gauge("memory_bytes", "Resident memory of the process")
        self._queue = gauge("queue_batches", "Batches that wait for a commit")
        self._trend_age = gauge("trend_age_seconds", "Since the trend board took the last push")

    def appended(self, n_new: int, n_duplicates: int, seconds: float) -> None:
        """See ``Meters``."""
        if n_new > 0:
            self._events.inc(n_new)
        if n_duplicates > 0:
            self._duplicates.inc(n_duplicates)
        self._append.observe(seconds)

    def committed(self, seconds: float) -> None:
        """See ``Meters``."""
        self._commit.observe(seconds)

    def opened(self, seconds: float, n_replayed: int) -> None:
        """See ``Meters``."""
        self._opened.inc()
        self._recovery.observe(seconds)
        if n_replayed > 0:
            self._replayed.inc(n_replayed)

    def handed_over(self) -> None:
        """See ``Meters``."""
        self._moved.inc()

    def state(self, n_partitions: int, n_users: int, rss_bytes: int, n_queued: int) -> None:
        """See ``Meters``."""
        self._partitions.set(n_partitions)
        self._users.set(n_users)
        self._memory.set(rss_bytes)
        self._queue.set(n_queued)

    def copies(self, n_partitions: int) -> None:
        """See ``Meters``."""
        self._copies.set(n_partitions)

    def trend_age(self, seconds: float) -> None:
        """See ``Meters``."""
        self._trend_age.set(seconds)
