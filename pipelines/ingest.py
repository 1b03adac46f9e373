"""Logs -> the archive: validated, deduplicated, cut by user, published all at once or not at all.

    files -> splits -> validate, bucket by user -> dedupe against archive and ledger -> publish

Ray Data runs both stages; a task holds one split, or buckets of bounded size, so memory does not
grow with the log. The same files twice change nothing.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from pipelines.ingest_events import Change, apply_all, ingest_events
from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    command_line,
    finish,
    main,
    open_job,
    timed,
)
from recsys.archive import Archive, FileRef, Manifest, create_store
from recsys.errors import ConfigError
from recsys.ingestion.entities import KEYS, merge_entities
from recsys.ingestion.mapping import check_mapping, parse_mapping
from recsys.ingestion.plan import plan_events, read_entities
from recsys.ingestion.shuffle import put_quarantine
from recsys.ingestion.validate import Rules


def run(
    job: Job,
    events: Sequence[str] = (),
    items: Sequence[str] = (),
    users: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Ingest logs into the job's store.

    Args:
        job: store, ledger, settings and tenant.
        events: files, folders, globs or URIs of the log; Parquet, JSON Lines or CSV.
        items: the catalog; items that are there already are replaced.
        users: attributes of users; likewise.
        mapping: schema column -> source column, or ``"=constant"`` (see ``parse_mapping``).

    Returns:
        The report: ``n_rows``, ``n_events_new``, ``n_duplicates``, ``n_erased`` (dropped, for their
        user was erased after them), ``n_quarantined``, ``reasons``,
        ``events_per_s`` (the start of Ray aside), ``stages`` in seconds, and what was found.

    Raises:
        ConfigError: if columns cannot be found, or nothing is given.
        DataError: if a file is damaged, or too many rows are bad; then nothing is published.
    """
    started = time.perf_counter()
    names = dict(mapping or {})
    check_mapping(names)
    if not (events or items or users):
        raise ConfigError("ingest", "has nothing to read", "Give --events, --items or --users")
    create_store(job.store, job.settings.data.n_partitions)
    rules = Rules(job.settings.data, job.tenant, time.time())
    stages: dict[str, float] = {}
    report: dict[str, Any] = {"job": "ingest", "reasons": Counter(), "n_events_new": 0}
    changes: list[Change] = []
    for table, places in (("items", items), ("users", users)):
        if places:
            with timed(stages, table):
                changes.append(_entities(job, rules, table, places, names, report))
    if events:
        with timed(stages, "plan"):
            plan = plan_events(events, names, job.settings.data.n_partitions)
        report["events"] = plan.report
        manifest = ingest_events(job, rules, plan, changes, report, stages)
    else:
        manifest = Archive(job.store).publish(lambda m: apply_all(changes, m))
    stages["total"] = round(time.perf_counter() - started, 3)
    return {
        **report,
        "n_quarantined": sum(report["reasons"].values()),
        "n_events_total": manifest.n_events,
        "data_until": manifest.data_until,
        "manifest_id": manifest.manifest_id,
        "stages": stages,
    }


def _entities(
    job: Job,
    rules: Rules,
    table: str,
    places: Sequence[str],
    mapping: Mapping[str, str],
    report: dict[str, Any],
) -> Change:
    new, bad, found = read_entities(places, mapping, table, rules)
    quarantine = put_quarantine(job.store, bad)
    report[table] = found
    report[f"n_{table}"] = len(new)
    report["reasons"].update(bad["reason"].to_pylist())
    archive = Archive(job.store)

    def change(manifest: Manifest) -> Manifest:
        old = getattr(archive, table)(manifest, job.tenant)
        path, sha256, _ = job.store.write_table(table, merge_entities(old, new, KEYS[table]))
        refs = {**getattr(manifest, table), job.tenant: FileRef(path, sha256)}
        manifest = replace(manifest, quarantine={**manifest.quarantine, **quarantine})
        return replace(manifest, items=refs) if table == "items" else replace(manifest, users=refs)

    return change


def _many(arguments: Sequence[str]) -> list[str]:
    """``--events a b`` as ``--events a --events b``: a shell's glob may follow the option."""
    out: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--events", "--items", "--users", "--map") else None
        elif option is not None and out[-1] != option:
            out.append(option)
        out.append(argument)
    return out


app = command_line()


@app.command()
def ingest(  # noqa: PLR0913, PLR0917 - one per option
    store: StoreOption,
    events: Annotated[
        list[str] | None, typer.Option("--events", help="Files, folders or globs of the log.")
    ] = None,
    items: Annotated[list[str] | None, typer.Option("--items", help="The catalog.")] = None,
    users: Annotated[list[str] | None, typer.Option("--users", help="User attributes.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="column=source, column==constant, items.column=source, users.column=source; "
            "several with commas.",
        ),
    ] = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Read logs into the store's archive; the same files twice change nothing.

    Example: python -m pipelines.ingest --store S --events 'logs/*.parquet' --items items.jsonl
    --map ts=time,kind==purchase
    """
    job = open_job(store, ledger, tenant, config, assignments)
    finish(run(job, events or (), items or (), users or (), parse_mapping(mapping or ())))


if __name__ == "__main__":
    sys.argv[1:] = _many(sys.argv[1:])
    main(app)
