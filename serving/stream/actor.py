"""A consumer as an actor: the loop in one thread, questions about it in others."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

import numpy as np

from recsys import logs
from recsys.store import Store
from serving.pool import PoolSpec
from serving.stream.kafka import KafkaSource
from serving.stream.loop import Outside, Pace, StreamLoop
from serving.stream.messages import MessageReader
from serving.stream.metrics import StreamMetrics
from serving.stream.pool import RunningPool
from serving.stream.progress import Counts, Progress
from serving.stream.quarantine import Quarantine
from serving.stream.subscription import Subscription

OBSERVE_EVERY_S = 1.0


@dataclass(frozen=True)
class ConsumerTask:
    """What a consumer has to do."""

    spec: PoolSpec
    """The pool as the command would make it."""
    subscription: Subscription
    pace: Pace


class ConsumerActor:
    """One consumer.

    Args:
        task: what it has to do.
        name: of this consumer, in metrics.
    """

    def __init__(self, task: ConsumerTask, name: str) -> None:
        self._task = task
        self._name = name
        self._stop = threading.Event()
        self._progress = Progress()
        self._next_tell = 0.0

    def run(self) -> Counts:
        """Consume until told to stop.

        Raises:
            ConfigError: if the brokers refuse this client.
            UnavailableError: if they did not answer while partitions were taken over.
        """
        logs.configure()
        spec, subscription = self._task.spec, self._task.subscription
        settings = spec.settings
        offset_s = settings.serving.clock_offset_s
        reader = MessageReader(
            spec.tenant, settings.data, settings.serving.max_body_bytes, offset_s
        )
        tags = {"topic": subscription.topic, "group": subscription.group, "consumer": self._name}
        metrics = StreamMetrics(tags)
        pool = RunningPool(spec)
        outside = Outside(
            append=pool.append,
            quarantine=Quarantine(Store(spec.store_uri)).keep,
            now=lambda: time.time() + offset_s,
            rng=np.random.default_rng(),
            is_stopped=self._stop.is_set,
            observe=lambda progress: self._observe(metrics, progress),
        )
        loop = StreamLoop(KafkaSource(subscription), reader, outside, self._task.pace)
        try:
            return loop.run()
        finally:
            self._next_tell = 0.0
            self._observe(metrics, Progress(loop.counts))
            pool.close()

    def stop(self) -> None:
        """Let ``run`` finish its batch, commit and return."""
        self._stop.set()

    def pid(self) -> int:
        """Process id."""
        return os.getpid()

    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    def _observe(self, metrics: StreamMetrics, progress: Progress) -> None:
        self._progress = progress
        if time.monotonic() >= self._next_tell:
            self._next_tell = time.monotonic() + OBSERVE_EVERY_S
            metrics.observe(progress)
