"""A consumer group and its topic, seen from outside."""

from __future__ import annotations

from confluent_kafka import TopicPartition

from recsys.errors import ConfigError
from serving.stream.messages import Place
from serving.stream.subscription import (
    LOOKUP_S,
    Subscription,
    named_errors,
    open_consumer,
    watermarks,
)


class Group:
    """A look at a group and its topic from outside.

    Args:
        subscription: topic and group.

    Raises:
        ConfigError: if there is no such topic, or the brokers refuse this client.
        UnavailableError: if they do not answer.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._consumer = open_consumer(subscription)
        self._partitions = self._find(subscription)

    def ends(self) -> dict[Place, int]:
        """Where each partition of the topic ends now.

        Raises:
            UnavailableError: if the brokers do not answer.
        """
        with named_errors(self._subscription):
            return {
                place: watermarks(self._consumer, TopicPartition(*place))[1]
                for place in self._partitions
            }

    def committed(self) -> dict[Place, int]:
        """How far the group has committed; partitions without an offset are left out.

        Raises:
            UnavailableError: if the brokers do not answer.
        """
        wanted = [TopicPartition(*place) for place in self._partitions]
        with named_errors(self._subscription):
            found = self._consumer.committed(wanted, timeout=LOOKUP_S)
        return {Place(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def close(self) -> None:
        """Drop the connections."""
        self._consumer.close()

    def _find(self, subscription: Subscription) -> list[Place]:
        topic = subscription.topic
        with named_errors(subscription):
            found = self._consumer.list_topics(topic, timeout=LOOKUP_S).topics[topic]
        if found.error is not None or len(found.partitions) == 0:
            raise ConfigError(f"topic {topic}", "is not there", "Create it, or check --topic")
        return [Place(topic, partition) for partition in sorted(found.partitions)]
