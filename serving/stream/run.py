"""A command's work: consumers until told to stop or until the present end, shown as they go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from serving.stream.actor import ConsumerTask
from serving.stream.fleet import Fleet
from serving.stream.group import Group
from serving.stream.messages import Place
from serving.stream.progress import Progress
from serving.stream.subscription import Subscription

log = logging.getLogger(__name__)
console = Console(stderr=True)

LOOK_EVERY_S = 1.0
LOG_EVERY_S = 30.0


def consume(
    task: ConsumerTask, n_consumers: int, is_once: bool, stop: threading.Event
) -> dict[str, Any]:
    """Run consumers until told to stop, or until the present end.

    Args:
        task: pool, topic and group.
        n_consumers: how many actors.
        is_once: end when the group has committed what is in the topic now.
        stop: ends it.

    Returns:
        The report: counts (of consumers that were killed, as last heard of), ``n_restarts``,
        ``took_s``, and ``lag``, the messages left at the end.

    Raises:
        ConfigError: if the topic is not there, or the brokers refuse us.
        UnavailableError: if they or the consumers do not come up.
    """
    started = time.monotonic()
    group = Group(task.subscription)
    goal = group.ends() if is_once else None
    fleet = Fleet(task, n_consumers)
    try:
        with _shown(task.subscription) as show:
            while not stop.is_set() and not (goal is not None and _is_reached(group, goal)):
                show(fleet.watch(LOOK_EVERY_S))
    finally:
        progress = fleet.stop()
    ends, committed = group.ends(), group.committed()
    group.close()
    return {
        "job": "consume",
        "topic": task.subscription.topic,
        "group": task.subscription.group,
        **asdict(progress.counts),
        "n_restarts": fleet.n_restarts,
        "lag": sum(max(0, end - committed.get(place, 0)) for place, end in ends.items()),
        "took_s": round(time.monotonic() - started, 3),
    }


def _is_reached(group: Group, goal: Mapping[Place, int]) -> bool:
    committed = group.committed()
    return all(committed.get(place, -1) >= end for place, end in goal.items())


@contextmanager
def _shown(subscription: Subscription) -> Iterator[Callable[[Progress], None]]:
    """A table that lives on a terminal; a line of the log now and then elsewhere."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda progress: live.update(_table(subscription, progress))
        return
    next_line = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + LOG_EVERY_S
            log.info("consuming", extra={"topic": subscription.topic, **_figures(progress)})

    yield show


def _figures(progress: Progress) -> dict[str, Any]:
    return {
        **asdict(progress.counts),
        "lag": sum(progress.lags.values()),
        "commit_age_s": round(progress.commit_age_s, 3),
    }


def _table(subscription: Subscription, progress: Progress) -> Table:
    title = f"{escape(subscription.topic)} → pool, as {escape(subscription.group)}"
    table = Table(title=title, title_justify="left")
    for name in ("events", "duplicates", "poison", "lag", "partitions", "oldest uncommitted"):
        table.add_column(name, justify="right")
    counts = progress.counts
    numbers = (counts.n_events, counts.n_duplicates, counts.n_poison, sum(progress.lags.values()))
    cells = [f"{number:,}" for number in (*numbers, len(progress.lags))]
    table.add_row(*cells, f"{progress.commit_age_s:.1f} s")
    return table
