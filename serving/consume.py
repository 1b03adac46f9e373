"""Events from a Kafka topic to the profile pool: ``python -m serving.consume --topic T ...``.

A message is one event, as JSON, as ``POST /v1/events`` takes it. It is delivered at least once and
counts exactly once: an offset is committed after the pool has made everything below it durable, and
a message that comes again is the same event. One without ``event_id`` is named after its place,
one without ``ts`` happened when it was sent. What is no event goes to the store's ``quarantine/``
with its reason, topic, partition and offset, and holds up nothing.

The pool is the one that runs on the Ray that RAY_ADDRESS names. While it is away, consumers wait
and keep their partitions.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import ray
import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from recsys import logs
from recsys.errors import ConfigError, RecsysError
from recsys.schema import DEFAULT_TENANT
from recsys.settings import load
from recsys.store import Store
from serving.app import AppArgs, pool_spec
from serving.pool import PoolSpec, ensure_pool
from serving.stream.actor import ConsumerTask
from serving.stream.fleet import Fleet
from serving.stream.group import Group
from serving.stream.loop import Pace
from serving.stream.messages import Place
from serving.stream.pool import running_spec
from serving.stream.progress import Progress
from serving.stream.properties import KafkaProperties, read_properties
from serving.stream.subscription import Subscription

log = logging.getLogger(__name__)
console = Console(stderr=True)

LOOK_EVERY_S = 1.0
LOG_EVERY_S = 30.0


class Start(StrEnum):
    """Where a group without offsets begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


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
        The report: counts, ``n_restarts``, ``took_s``, and ``lag``, the messages left at the end.

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
def _shown(subscription: Subscription) -> Iterator[Any]:
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


@contextmanager
def _ray(owns_pool: bool) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    if address is None and not owns_pool:
        raise ConfigError(
            "RAY_ADDRESS",
            "is not set, so there is no pool to write to",
            "Set it to the Ray on which the pool runs (`auto` on one of its nodes), or give "
            "--own-pool where nothing else serves this store",
        )
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it listens for this process alone
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address=address or "local",
        log_to_driver=False,
        logging_level="warning",
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
        **({} if address else {"include_dashboard": False, "object_store_memory": 200 << 20}),
    )
    try:
        yield
    finally:
        ray.shutdown()


def _check_pool(spec: PoolSpec, owns_pool: bool) -> None:
    if running_spec(spec) is not None:
        return
    if owns_pool:
        ensure_pool(spec)
    else:
        log.warning("no pool runs yet for this store and tenant: consumers wait for it")


def _ledger_url(store: Store, url: str | None) -> str:
    if url is None and store.root is None:
        raise ConfigError(
            f"store {store.uri}", "is remote, and --ledger is not given", "Name the database"
        )
    return f"sqlite:///{store.root}/ledger.db" if url is None else url


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command(help=__doc__)
def command(  # noqa: PLR0913, PLR0917 - one per option
    topic: Annotated[str, typer.Option("--topic", help="Topic to read.")],
    brokers: Annotated[str, typer.Option("--brokers", help="host:port, several with commas.")],
    store: Annotated[str, typer.Option("--store", help="Folder, s3:// or gs:// of the store.")],
    ledger: Annotated[
        str | None, typer.Option("--ledger", help="Database URL; default: as the jobs have it.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose events.")] = DEFAULT_TENANT,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Consumer group; default: halflife-TENANT."),
    ] = None,
    consumers: Annotated[
        int, typer.Option("--consumers", min=1, help="Actors that share the partitions.")
    ] = 1,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="Most messages per append.")
    ] = 1_000,
    start: Annotated[
        Start, typer.Option("--from", help="Where a group without committed offsets begins.")
    ] = Start.EARLIEST,
    is_once: Annotated[
        bool, typer.Option("--once", help="Stop when all that is in the topic now is committed.")
    ] = False,
    kafka_config: Annotated[
        str | None,
        typer.Option(
            "--kafka-config",
            help="File of librdkafka properties, name=value a line (security.protocol, sasl.*, "
            "ssl.*); it is never logged.",
        ),
    ] = None,
    owns_pool: Annotated[
        bool,
        typer.Option(
            "--own-pool",
            help="Start the pool, and without RAY_ADDRESS a Ray for this command alone; only "
            "where nothing else serves the store.",
        ),
    ] = False,
    config: Annotated[str | None, typer.Option("--config", help="YAML file of settings.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")
    ] = None,
) -> None:
    """Consume; SIGTERM or Ctrl-C ends it with the last offsets committed."""
    settings = load(config, os.environ, assignments or [])
    opened = Store(store)
    properties = KafkaProperties() if kafka_config is None else read_properties(kafka_config)
    name = f"halflife-{tenant}" if group is None else group
    subscription = Subscription(brokers, topic, name, start.value, properties)
    spec = pool_spec(
        AppArgs(
            store=opened.uri, ledger=_ledger_url(opened, ledger), tenant=tenant, settings=settings
        )
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _ray(owns_pool):
        _check_pool(spec, owns_pool)
        task = ConsumerTask(spec, subscription, Pace(n_batch=batch))
        report = consume(task, consumers, is_once, stop)
    sys.stdout.write(json.dumps(report, sort_keys=True) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command; a named error becomes one red line and exit status 2."""
    logs.configure()
    try:
        app()
    except RecsysError as error:
        text = escape(str(error))  # brackets in a value are no markup
        console.print(f"[bold red]error[/] {text}", soft_wrap=True, highlight=False)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
