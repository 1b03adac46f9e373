"""What jobs share: options, the Ray session, the progress bar and the last line of JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import ray
import ray.data
import typer
from ray._private.log import PlainRayHandler
from ray.exceptions import RayTaskError
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from recsys import logs
from recsys.errors import ConfigError, RecsysError
from recsys.schema import DEFAULT_TENANT
from recsys.settings import Settings, load
from recsys.store import Store

console = Console(stderr=True)

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}

StoreOption = Annotated[str, typer.Option("--store", help="Folder, s3:// or gs:// of the store.")]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger", help="sqlite:////path.db or postgresql://...; default: a file in a local store."
    ),
]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose data.")]
ConfigOption = Annotated[str | None, typer.Option("--config", help="YAML file of settings.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")
]


@dataclass(frozen=True)
class Job:
    """What a job works on."""

    store: Store
    ledger_url: str
    settings: Settings
    tenant: str = DEFAULT_TENANT


def ledger_url(store: Store, url: str | None) -> str:
    """The given ledger URL, or the SQLite file inside a local store.

    Raises:
        ConfigError: if the store is remote and no URL is given.
    """
    if url is not None:
        return url
    if store.root is None:
        raise ConfigError(
            f"store {store.uri}",
            "is remote, and --ledger is not given",
            "A ledger is a database: name one, such as postgresql://user@host/halflife (with the"
            " password in ~/.pgpass), or sqlite:////var/lib/ledger.db for one machine",
        )
    return f"sqlite:///{store.root / 'ledger.db'}"


def open_job(
    store: str,
    ledger: str | None = None,
    tenant: str = DEFAULT_TENANT,
    config: str | None = None,
    assignments: list[str] | None = None,
) -> Job:
    """Resolve the common options; the one place where a job reads the environment."""
    opened = Store(store)
    settings = load(config, os.environ, assignments or [])
    return Job(opened, ledger_url(opened, ledger), settings, tenant)


@contextmanager
def ray_session() -> Iterator[None]:
    """Use the Ray that is connected or submitted this job; else start one for the job alone.

    An error of ours that a task raised leaves the block as itself, without Ray's wrapping.
    """
    with _connected():
        ray.data.DataContext.get_current().raise_original_map_exception = True
        try:
            yield
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, RecsysError):
                raise cause from None
            raise


@contextmanager
def _connected() -> Iterator[None]:
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, PlainRayHandler):
            handler.setLevel(logging.ERROR)  # our own bars say the rest; its log file has it all
    if ray.is_initialized():
        yield
        return
    remote = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": remote} if remote else _local_options()
    ray.init(
        log_to_driver=False,
        logging_level="warning",
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
        **options,
    )
    try:
        yield
    finally:
        ray.shutdown()


def _local_options() -> dict[str, Any]:
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # this Ray listens for this process alone
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {
        "address": "local",
        "num_cpus": os.cpu_count() or 1,
        "include_dashboard": False,
        "object_store_memory": 256 << 20,
    }


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; call what it yields with the number of units done since the last call."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=total)
        yield lambda n: bars.advance(task, n)


@contextmanager
def working(title: str) -> Iterator[None]:
    """A spinner on stderr around work whose length is not known."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
    ) as spinner:
        spinner.add_task(title, total=None)
        yield


def command_line(text: str | None = None) -> typer.Typer:
    """The command line of a job: no completion to install, plain tracebacks."""
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=text
    )


def finish(report: Mapping[str, Any]) -> None:
    """Print a job's report: one JSON object, the last line of stdout."""
    sys.stdout.write(json.dumps(report, sort_keys=True, default=str) + "\n")
    sys.stdout.flush()


def main(app: typer.Typer) -> None:
    """Run a job's command line; a named error becomes one red line and exit status 2."""
    logs.configure()
    try:
        app(standalone_mode=True)
    except RecsysError as error:
        text = escape(str(error))  # brackets in a value are no markup
        console.print(f"[bold red]error[/] {text}", soft_wrap=True, highlight=False)
        raise SystemExit(2) from error


@contextmanager
def timed(stages: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall-clock seconds of a block to ``stages[name]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = round(stages.get(name, 0.0) + time.perf_counter() - started, 3)
