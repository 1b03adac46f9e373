"""The broker that comes inside librdkafka: real protocol, real consumer groups, no server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

N_PARTITIONS = 4
"""Of each topic that the mock broker makes."""

QUICK = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500"}
"""The mock waits for a session's time before it lets a group go on."""


class Broker:
    """A mock cluster of one broker; it lives as long as its producer."""

    def __init__(self) -> None:
        quiet = {"log_level": 0}
        self._producer = Producer(
            {"bootstrap.servers": "", "test.mock.num.brokers": 1, "linger.ms": 1, **quiet}
        )
        found = self._producer.list_topics(timeout=10).brokers.values()
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in found)

    def send(self, topic: str, *values: bytes | Mapping[str, Any] | None) -> None:
        """Put messages on a topic, in turn on each of its partitions."""
        for n, value in enumerate(values):
            data = json.dumps(value).encode() if isinstance(value, Mapping) else value
            self._producer.produce(topic, data, partition=n % N_PARTITIONS)
            self._producer.poll(0)
        assert self._producer.flush(10) == 0
