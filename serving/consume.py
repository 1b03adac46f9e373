"""Events from a Kafka topic to the profile pool: ``python -m serving.consume --topic T ...``."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import ray
import typer
from rich.console import Console
from rich.markup import escape

from recsys import logs
from recsys.errors import ConfigError, RecsysError, UnavailableError
from recsys.schema import DEFAULT_TENANT
from recsys.settings import load
from recsys.store import Store
from serving import local_ray
from serving.app import AppArgs, pool_spec
from serving.pool import PoolSpec, ensure_pool
from serving.stream.loop import Pace
from serving.stream.pool import running_spec
from serving.stream.properties import KafkaProperties, read_properties

log = logging.getLogger(__name__)
console = Console(stderr=True)

HELP = """Feed the profile pool from a Kafka topic.

A message is one event as JSON, as `POST /v1/events` takes it:
`{"user_id": "u1", "kind": "click", "item_id": "i7"}`.

It is delivered at least once and counts exactly once: an offset is committed after the pool has
made everything below it durable, and a message that comes again is the same event. One without
`event_id` is named `kafka:topic:partition:offset`; one without `ts` happened when it was sent. What
is no event goes to the store's `quarantine/` with its reason, topic, partition and offset, and
holds up nothing.

The pool is the one that runs on the Ray that `RAY_ADDRESS` names; without it, the one that
`python -m cluster.local up` brought up for this store on this machine. While it is away, consumers
wait and keep their partitions. SIGTERM or Ctrl-C ends the command with the last offsets committed;
the last line of stdout is a report in JSON.

Example: `RAY_ADDRESS=auto python -m serving.consume --topic clicks --brokers k1:9092,k2:9092
--store s3://bucket/shop --ledger postgresql://... --consumers 4`
"""


class Start(StrEnum):
    """Where a group without offsets begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


def _join_local(store: Store, tenant: str) -> None:
    """Start over as a command of the local service's Ray, where one runs and none is named."""
    if ray.is_initialized() or "RAY_ADDRESS" in os.environ:
        return
    found = local_ray.find(store, tenant)
    if found is None:
        return
    if not found.listens():
        raise UnavailableError(
            f"the Ray of the service of {store.uri}",
            f"does not listen at {found.address}",
            "`python -m cluster.local status` says how the service is; `down` and `up` start it "
            "anew",
        )
    # Ray read the environment when it was imported
    os.execve(sys.executable, sys.orig_argv, found.environment(os.environ))  # noqa: S606


@contextmanager
def _ray(owns_pool: bool) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    if address is None and not owns_pool:
        raise ConfigError(
            "RAY_ADDRESS",
            "is not set, and no service runs for this store on this machine, so there is no pool "
            "to write to",
            "Bring one up with `python -m cluster.local up`; or set RAY_ADDRESS to the Ray on "
            "which the pool runs (`auto` on one of its nodes); or give --own-pool where nothing "
            "else serves this store",
        )
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it listens for this process alone
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options = {} if address else {"include_dashboard": False, "object_store_memory": 200 << 20}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="warning",
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            **options,
        )
    except ConnectionError as error:
        raise UnavailableError(
            f"Ray at {address}",
            "does not answer, or refuses us",
            "See that it runs (`python -m cluster.local status` for a local one, else `ray status`)"
            " and that RAY_AUTH_MODE and RAY_AUTH_TOKEN are those it was started with",
        ) from error
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


def _check_extra() -> None:
    if importlib.util.find_spec("confluent_kafka") is None:
        raise ConfigError(
            "python -m serving.consume", "needs confluent-kafka", "pip install 'halflife[stream]'"
        )


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command(help=HELP)
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
    """Consume until told to stop."""
    _check_extra()
    from serving.stream.actor import ConsumerTask  # noqa: PLC0415 - these need the extra
    from serving.stream.run import consume  # noqa: PLC0415
    from serving.stream.subscription import Subscription  # noqa: PLC0415

    settings = load(config, os.environ, assignments or [])
    opened = Store(store)
    _join_local(opened, tenant)
    properties = KafkaProperties() if kafka_config is None else read_properties(kafka_config)
    name = f"halflife-{tenant}" if group is None else group
    subscription = Subscription(brokers, topic, name, start.value, properties)
    spec = pool_spec(
        AppArgs(
            store=opened.uri, ledger=_ledger_url(opened, ledger), tenant=tenant, settings=settings
        )
    )
    stop = threading.Event()
    with _ray(owns_pool):
        for number in (signal.SIGTERM, signal.SIGINT):  # Ray sets its own when it starts
            signal.signal(number, lambda *_: stop.set())
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
