"""Search for good training settings: ``python -m pipelines.tune --store S``.

    record -> events, catalog, text vectors -> trials on Ray Tune (ASHA) -> best settings as YAML

Every trial trains on the events before the validation tail and is asked about the tail, as the
pilot of ``train`` is; the file is what ``python -m pipelines.train --config`` takes. A search that
was interrupted goes on when the command is given again. Nothing at or after ``--until`` is used.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    command_line,
    console,
    finish,
    main,
    open_job,
    progress,
    ray_session,
    working,
)
from pipelines.times import parse_time
from pipelines.train_run import identity_of
from pipelines.train_text import max_texts, read_texts
from pipelines.tune_record import Plan, Record
from pipelines.tune_tables import figures, said, trial_table
from pipelines.tune_trials import Material, Trainer, Watch, pilot_trainer, run_trials
from recsys.archive import Archive
from recsys.catalog import Catalog, catalog_from_items
from recsys.errors import ConfigError, DataError
from recsys.events import event_arrays, timestamps_s
from recsys.ledger import open_ledger
from recsys.record import read_all
from recsys.schema import ITEMS
from recsys.training.search import (
    Domain,
    Trial,
    best_of,
    default_space,
    dumped,
    point,
    read_space,
    settings_file,
    with_values,
)
from recsys.words import TextCensus, text_counts

_NO_TIME = "the time was over before the first epoch was; give a larger --budget-minutes"
_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text"]


@dataclass(frozen=True)
class Options:
    """What a search is asked besides the settings that stand."""

    n_trials: int = 12
    """Settings that are tried; the first are those that stand."""
    budget_s: float | None = None
    """Seconds after which the search ends with what it has; None = no limit."""
    out: str | Path | None = None
    """File for the best settings; they are kept in the store too."""
    space: str | Path | None = None
    """YAML file of what is searched; None = ``recsys.training.search.default_space``."""
    name: str = "tune"
    until: float | None = None
    """Unix seconds; nothing at or after this time is used (None = everything)."""
    fresh: bool = False
    """True forgets an earlier search of this name."""


def run(
    job: Job, options: Options | None = None, trainer: Trainer = pilot_trainer
) -> dict[str, Any]:
    """Search.

    Args:
        job: store, ledger, tenant and the settings that stand.
        options: of the search.
        trainer: what trains a trial.

    Returns:
        The report: ``best`` (trial, values, ``ndcg10``, ``n_epochs``), ``default_ndcg10`` (of the
        settings that stand), ``trials``, how many are done, stopped, cut and failed, ``resumed``.

    Raises:
        ConfigError: if the space is none, or an unfinished search was asked something else.
        DataError: if there is nothing to learn from, or no trial could train.
    """
    options, started = options or Options(), time.perf_counter()
    _check(job, options)
    record = Record(job.store, job.tenant, options.name, uuid.uuid4().hex)
    with ray_session():
        with working("read the record"):
            table, plan = _read(job, _until(record, options))
            catalog = _catalog(job, table, plan.until)
        space = _space(job, options, len(catalog))
        identity = {**identity_of(job.settings, options.until), "space": dumped(space)}
        past = _begin(record, identity, plan, options.fresh)
        numbers = set(range(options.n_trials)) - {trial.number for trial in past}
        seed = job.settings.train.seed
        wanted = [Trial(number, point(space, seed, number)) for number in sorted(numbers)]
        found: list[Trial] = []
        if len(wanted) > 0:
            material = _material(job, table, catalog)
            found = _search(record, wanted, past, material, (trainer, options.budget_s))
    trials = sorted([*past, *found], key=lambda trial: trial.number)
    best = best_of(trials)
    if best is None:
        problems = [trial.problem for trial in trials if trial.problem] or [_NO_TIME]
        raise DataError(f"search {options.name}", f"could train nothing: {problems[0]}")
    text_of_best = settings_file(with_values(job.settings, best.values))
    if not numbers - {trial.number for trial in trials if trial.is_over}:
        record.finish(text_of_best)
    if options.out is not None:
        Path(options.out).write_text(text_of_best, encoding="utf-8")
    console.print(trial_table(trials, best))
    return {
        "name": options.name,
        "resumed": len(past) > 0,
        **figures(trials, best),
        "until": plan.until,
        "n_events": plan.n_events,
        "out": None if options.out is None else str(options.out),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _check(job: Job, options: Options) -> None:
    if job.settings.train.stage != "frozen":
        raise ConfigError(
            f"train.stage = {job.settings.train.stage}",
            "is not searched: a trial is the plain loop over cached text vectors",
            "Search with train.stage=frozen, and train another stage with the file it writes",
        )
    if options.n_trials < 1:
        raise ConfigError(f"n_trials = {options.n_trials}", "is no search", "Use --n-trials 12")
    if options.out is not None and not Path(options.out).absolute().parent.is_dir():
        raise ConfigError(f"--out {options.out}", "has no such folder", "Make it first")


def _until(record: Record, options: Options) -> float | None:
    """An unfinished search goes on with the events that it began with."""
    state = None if options.fresh else record.state()
    if state is None or state["finished"]:
        return options.until
    until: float | None = state["plan"]["until"]
    return until


def _read(job: Job, until: float | None) -> tuple[pa.Table, Plan]:
    with closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(Archive(job.store), ledger, job.tenant, until, _COLUMNS)
    if len(table) == 0:
        raise DataError(
            f"store {job.store.uri}",
            f"holds no event of tenant {job.tenant}" + ("" if until is None else " before --until"),
            "Run `python -m pipelines.ingest --store ... --events ...` first",
        )
    last = float(timestamps_s(table["ts"]).max())
    return table, Plan(last + 1e-6 if until is None else until, len(table))


def _catalog(job: Job, table: pa.Table, until: float) -> Catalog:
    archive = Archive(job.store)
    manifest = archive.manifest()
    items = None if manifest is None else archive.items(manifest, job.tenant)
    named = pc.drop_null(pc.unique(table["item_id"])).to_pylist()
    return catalog_from_items(ITEMS.empty_table() if items is None else items, named, until)


def _material(job: Job, table: pa.Table, catalog: Catalog) -> Material:
    """What a trial learns from: events, and vectors of all texts."""
    census = TextCensus(max_texts(job.settings))
    if max_texts(job.settings) > 0:
        census.add(text_counts(table, job.settings.interest))
    spoken = census.texts()
    said = read_texts(job, catalog.item_texts(), spoken)
    index = {text: row for row, text in enumerate(spoken)} or None
    return Material(event_arrays(table, catalog.index, index), catalog, said.texts, job.settings)


def _space(job: Job, options: Options, n_items: int) -> dict[str, Domain]:
    if options.space is None:
        return default_space(job.settings, n_items)
    try:
        text = Path(options.space).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--space {options.space}", f"cannot be read ({error})") from error
    return read_space(text, job.settings)


def _begin(record: Record, identity: dict[str, Any], plan: Plan, fresh: bool) -> list[Trial]:
    """Begin or go on; the trials that are over."""
    state = None if fresh else record.state()
    same = state is not None and state["identity"] == identity and state["plan"] == vars(plan)
    if state is not None and not state["finished"]:
        record.check_same(identity, plan)
    if not same:
        record.begin(identity, plan)
        return []
    record.take_over()
    past = record.trials()
    if len(past) > 0:
        console.print(f"going on after {len(past)} trials of {record.name}", highlight=False)
    return past


def _search(
    record: Record,
    wanted: Sequence[Trial],
    past: Sequence[Trial],
    material: Material,
    how: tuple[Trainer, float | None],
) -> list[Trial]:
    trainer, budget_s = how
    with progress("trials", total=len(wanted)) as advance:

        def on_over(trial: Trial) -> None:
            record.put(trial)
            console.print(f"trial {trial.number} {said(trial)}", highlight=False)
            advance(1)

        return run_trials(wanted, past, material, trainer, (Watch(on_over), budget_s))


app = command_line()


@app.command()
def tune(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    n_trials: Annotated[int, typer.Option(help="Settings that are tried.", min=1)] = 12,
    budget_minutes: Annotated[
        float | None, typer.Option(help="End with the best after this time.", min=0.01)
    ] = None,
    out: Annotated[str | None, typer.Option(help="YAML file for the best settings.")] = None,
    space: Annotated[str | None, typer.Option(help="YAML file of what is searched.")] = None,
    name: Annotated[str, typer.Option(help="Of the search, in the store.")] = "tune",
    until: Annotated[
        str | None, typer.Option(help="Use nothing from this time on: ISO time or Unix seconds.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Forget an earlier search of this name.")
    ] = False,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Try training settings, end what is behind, and write the best as a settings file.

    Example: python -m pipelines.tune --store S --n-trials 20 --out best.yaml, and then
    python -m pipelines.train --store S --config best.yaml
    """
    job = open_job(store, ledger, tenant, config, assignments)
    budget_s = None if budget_minutes is None else 60.0 * budget_minutes
    moment = None if until is None else parse_time(until)
    finish(run(job, Options(n_trials, budget_s, out, space, name, moment, fresh)))


if __name__ == "__main__":
    main(app)
