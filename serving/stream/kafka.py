"""A member of a Kafka consumer group, as the loop wants it: ``confluent_kafka`` behind ``Source``.

Nothing may be raised inside librdkafka's callbacks: what goes wrong there is raised by the call
that ran them. A group that starts at the latest offsets commits them when it gets its partitions,
so that a crash before the first batch skips nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from recsys.errors import RecsysError
from serving.stream.loop import Polled
from serving.stream.messages import End, Message, Place
from serving.stream.subscription import (
    LOOKUP_S,
    Subscription,
    named_errors,
    open_consumer,
    raise_if_final,
    watermarks,
)

log = logging.getLogger(__name__)

CHUNK = 500
"""Messages taken from librdkafka at a time."""
DRAIN_S = 0.02
"""Wait for further messages after the first."""
COMMIT_S = 10.0
"""Wait for the answer to a commit; librdkafka's own waiting has no end."""
ANSWER_S = 0.002
"""librdkafka waits so long for a message before it returns with the answer."""
MAX_BATCH_BYTES = 16 << 20
"""A batch ends here, however few its messages."""


class KafkaSource:
    """A member of a consumer group; a ``Source``.

    Args:
        subscription: topic and group.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._consumer = open_consumer(subscription, on_commit=self._committed)
        self._items: list[Message | End] = []  # read and not yet handed out
        self._heard: dict[Place, int] = {}  # what the group said it took
        self._n_unanswered = 0
        self._owned: set[Place] = set()
        self._taken: set[Place] = set()
        self._failure: RecsysError | None = None
        self._is_held = False
        self._consumer.subscribe(
            [subscription.topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def poll(self, n_messages: int, timeout_s: float) -> Polled:
        """The next messages; waits for the first only.

        Raises:
            ConfigError: if the brokers refuse this client.
            UnavailableError: if they did not answer while partitions were taken over.
        """
        self._collect(1, 0.0 if len(self._items) > 0 else timeout_s)
        while 0 < len(self._items) < n_messages and self._n_bytes() < MAX_BATCH_BYTES:
            if self._collect(min(CHUNK, n_messages - len(self._items)), DRAIN_S) == 0:
                break
        return self._polled()

    def hold(self, timeout_s: float) -> Polled:
        """Serve the group for so long without reading; see ``poll`` for what it raises."""
        self._is_held = True
        with named_errors(self._subscription):
            self._consumer.pause(self._consumer.assignment())
        self._collect(CHUNK, timeout_s)
        return self._polled()

    def resume(self) -> None:
        """Read on."""
        if self._is_held:
            with named_errors(self._subscription):
                self._consumer.resume(self._consumer.assignment())
            self._is_held = False

    def commit(self, offsets: Mapping[Place, int]) -> dict[Place, int]:
        """Commit and wait; return what the group took, nothing where it is about to rebalance.

        Raises:
            ConfigError: if the brokers refuse this client.
        """
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        self._heard = {}
        with named_errors(self._subscription):
            self._consumer.commit(offsets=wanted, asynchronous=True)
        self._n_unanswered += 1
        deadline = time.monotonic() + COMMIT_S
        while self._n_unanswered > 0 and time.monotonic() < deadline:
            self._collect(1, ANSWER_S)
        return self._heard

    def ends(self) -> dict[Place, int]:
        """The newest end of each partition that a fetch told."""
        ends = {}
        with named_errors(self._subscription):
            for place in self._owned:
                marks = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                if marks is not None and marks[1] >= 0:
                    ends[place] = marks[1]
        return ends

    def close(self) -> None:
        """Leave the group; others get its partitions at once."""
        self._consumer.close()

    def _polled(self) -> Polled:
        items, self._items = self._items, []
        taken, self._taken = frozenset(self._taken), set()
        return Polled(tuple(items), taken)

    def _n_bytes(self) -> int:
        return sum(len(i.value or b"") for i in self._items if isinstance(i, Message))

    def _collect(self, n_messages: int, timeout_s: float) -> int:
        """Take messages, serve callbacks; return how many came."""
        with named_errors(self._subscription):
            found = self._consumer.consume(n_messages, timeout_s)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        items = (self._item(message) for message in found)
        # a callback may have taken a partition away while its messages were on their way
        self._items += [i for i in items if i is not None and i.place in self._owned]
        return len(found)

    def _item(self, message: KafkaMessage) -> Message | End | None:
        error, topic = message.error(), message.topic()
        partition, offset = message.partition(), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise_if_final(self._subscription, error)
            log.warning("the brokers report: %s", error.name())
            return None
        assert topic is not None and partition is not None and offset is not None
        place = Place(topic, partition)
        if error is not None:
            return End(place, offset)
        kind, sent_ms = message.timestamp()
        sent_at = None if kind == TIMESTAMP_NOT_AVAILABLE or sent_ms < 0 else sent_ms / 1e3
        value = message.value()
        return Message(place, offset, value if isinstance(value, bytes) else None, sent_at)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._owned |= {Place(p.topic, p.partition) for p in partitions}
        if len(partitions) == 0:
            return
        try:
            with named_errors(self._subscription):
                self._begin(consumer, list(partitions))
        except RecsysError as error:
            self._failure = error

    def _begin(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what is gone; commit the start of partitions that have none."""
        fresh = []
        for known in consumer.committed(partitions, timeout=LOOKUP_S):
            low, high = watermarks(consumer, known)
            if known.offset >= 0 and known.offset < low:
                log.error(
                    "%s: %d messages were deleted before they were read; reading goes on at %d",
                    Place(known.topic, known.partition).source,
                    low - known.offset,
                    low,
                )
            elif known.offset < 0 and self._subscription.start == "latest":
                fresh.append(TopicPartition(known.topic, known.partition, high))
        if len(fresh) > 0:
            for done in consumer.commit(offsets=fresh, asynchronous=False) or []:
                if done.error is not None:
                    raise KafkaException(done.error)

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        places = {Place(p.topic, p.partition) for p in partitions}
        self._owned -= places
        self._taken |= places
        self._items = [item for item in self._items if item.place not in places]

    def _committed(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        self._n_unanswered -= 1
        failures = [p.error for p in partitions if p.error is not None]
        for failure in failures if error is None else [error]:
            log.warning("offsets are not committed yet: %s", failure.name())
            try:
                raise_if_final(self._subscription, failure)
            except RecsysError as final:
                self._failure = final
        if error is None:
            done = (p for p in partitions if p.error is None)
            self._heard.update({Place(p.topic, p.partition): p.offset for p in done})
