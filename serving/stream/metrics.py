"""What a consumer tells Prometheus, through Ray. Tags name topics and partitions, never people."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from serving.stream.messages import Place
from serving.stream.progress import Counts, Progress

OWN_TAGS = ("topic", "group", "consumer")


class StreamMetrics:
    """The metrics of one consumer.

    Args:
        tags: topic, group and consumer.
    """

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._counters = {
            name: _counter(f"halflife_stream_{name}", text, tags)
            for name, text in (
                ("events", "Events from Kafka that the pool accepted."),
                ("duplicates", "Events from Kafka that the pool knew already."),
                ("erased", "Events from Kafka that were dropped: their user was erased."),
                ("retries", "Times that the pool or the store were away."),
                ("commits", "Batches whose offsets were committed."),
            )
        }
        self._poison = _counter(
            "halflife_stream_poison", "Messages that are in the quarantine.", tags, "reason"
        )
        self._lag = Gauge(
            "halflife_stream_lag",
            "Messages of a partition that are not acknowledged yet.",
            tag_keys=(*OWN_TAGS, "partition"),
        )
        self._lag.set_default_tags(dict(tags))
        self._age = Gauge(
            "halflife_stream_commit_age_s",
            "Seconds for which the oldest message read has not been committed.",
            tag_keys=OWN_TAGS,
        )
        self._age.set_default_tags(dict(tags))
        self._told = Counts()
        self._places: frozenset[Place] = frozenset()

    def observe(self, progress: Progress) -> None:
        """Tell what came since the last call."""
        counts, told = progress.counts, self._told
        for name, counter in self._counters.items():
            more = getattr(counts, f"n_{name}") - getattr(told, f"n_{name}")
            if more > 0:
                counter.inc(more)
        for reason, count in counts.reasons.items():
            more = count - told.reasons.get(reason, 0)
            if more > 0:
                self._poison.inc(more, {"reason": reason})
        for place in self._places - set(progress.lags):
            self._lag.set(0, _tags_of(place))  # somebody else's now
        for place, lag in progress.lags.items():
            self._lag.set(lag, _tags_of(place))
        self._age.set(progress.commit_age_s)
        self._told, self._places = counts, frozenset(progress.lags)


def _counter(name: str, text: str, tags: Mapping[str, str], *more: str) -> Counter:
    counter = Counter(name, text, tag_keys=(*OWN_TAGS, *more))
    counter.set_default_tags(dict(tags))
    return counter


def _tags_of(place: Place) -> dict[str, str]:
    return {"partition": str(place.partition)}
