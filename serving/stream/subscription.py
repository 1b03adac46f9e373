"""What is read, as whom, and how a client for it is made."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from recsys.errors import ConfigError, UnavailableError
from serving.stream.properties import KafkaProperties

log = logging.getLogger(__name__)

LOOKUP_S = 10.0
"""Patience with the brokers, for one question."""
QUEUE_KBYTES = 16 << 10
"""What librdkafka reads ahead."""

DEFAULTS: Mapping[str, Any] = {
    "client.id": "halflife",
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": QUEUE_KBYTES,
    "session.timeout.ms": 10_000,
    "socket.timeout.ms": 10_000,
}

FINAL = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
"""Errors that no waiting heals."""


@dataclass(frozen=True)
class Subscription:
    """What is read, and as whom."""

    brokers: str
    """host:port, several with commas."""
    topic: str
    group: str
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group without committed offsets begins."""
    properties: KafkaProperties = field(default_factory=KafkaProperties)


def open_consumer(subscription: Subscription, **callbacks: Any) -> Consumer:
    """A consumer of the group that has not joined it yet.

    Args:
        subscription: topic and group.
        callbacks: further settings of ``confluent_kafka``.

    Raises:
        ConfigError: if librdkafka refuses a property.
    """
    settings = {
        **DEFAULTS,
        **subscription.properties.values,
        "bootstrap.servers": subscription.brokers,
        "group.id": subscription.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",  # "latest" is committed on assignment instead
        **callbacks,
    }
    try:
        return Consumer(settings, logger=log)
    except (KafkaException, TypeError, ValueError) as error:
        text = subscription.properties.hide(str(error))
        raise ConfigError("the Kafka client", f"refuses its settings ({text})") from None


@contextmanager
def named_errors(subscription: Subscription) -> Iterator[None]:
    """What the brokers answer, in our words.

    Raises:
        ConfigError: if they refuse this client.
        UnavailableError: if they are away.
    """
    try:
        yield
    except KafkaException as error:
        raise_if_final(subscription, error.args[0])
        raise UnavailableError(
            f"brokers {subscription.brokers}",
            f"do not answer ({error.args[0].name()})",
            "Check --brokers, the network and --kafka-config",
        ) from None


def raise_if_final(subscription: Subscription, error: KafkaError) -> None:
    """Raise a ``ConfigError`` where waiting heals nothing."""
    if error.code() in FINAL:
        raise ConfigError(
            f"topic {subscription.topic}, group {subscription.group}",
            f"are refused by the brokers ({error.name()})",
            "Check the access rights, and --kafka-config",
        )


def watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """First offset that is kept, and the end.

    Raises:
        KafkaException: if the brokers do not answer.
    """
    found = consumer.get_watermark_offsets(partition, timeout=LOOKUP_S)
    if found is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return found[0], found[1]
