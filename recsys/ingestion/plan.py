"""What an ingest will do, decided before any worker starts: files, columns, time units, splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recsys.errors import DataError
from recsys.ingestion.convert import detect_time_unit
from recsys.ingestion.entities import KEYS, TIMES, merge_entities, validate_entities
from recsys.ingestion.mapping import REQUIRED, TABLES, ColumnMap, apply, resolve, unused
from recsys.ingestion.quarantine import QUARANTINE
from recsys.ingestion.reading import first_rows, plan_splits, read_split
from recsys.ingestion.sources import SourceFile, find_files
from recsys.ingestion.validate import Rules

BUCKET_BYTES = 24 << 20
"""Bytes of events that one bucket may hold, about."""
_EVENT_BYTES = 160
"""Estimate of one canonical event in memory."""


@dataclass(frozen=True)
class Source:
    """A file that is understood: where its columns come from, and the unit of its times."""

    file: SourceFile
    mapping: ColumnMap
    time_units: Mapping[str, str]
    ignored: list[str]


@dataclass(frozen=True)
class Plan:
    """The work of reading a log of events."""

    sources: list[str]
    """Paths of the files."""
    tasks: list[dict[str, Any]]
    """For ``shuffle_split``, one per split."""
    n_sub: int
    """Buckets per partition, so many that one fits in memory."""
    report: dict[str, Any]
    """What was found and decided."""


def understand(
    places: Sequence[str], mapping: Mapping[str, str], table: str
) -> tuple[list[Source], dict[str, Any]]:
    """Find the files of a table and resolve their columns.

    Returns:
        ``(sources, report)``; the report names files skipped, columns ignored and time units.

    Raises:
        ConfigError: if a column cannot be found. DataError, NotFoundError: see ``find_files``.
    """
    files, skipped = find_files(places)
    times = ("ts",) if table == "events" else TIMES
    sources = []
    for file in files:
        sample = first_rows(file)
        names = sample.column_names
        if file.format == "jsonl":  # what no row of the sample has may come in a later one
            later = {*TABLES[table].names} - {*names, *REQUIRED[table], *times}
            names = [*names, *sorted(later)]
        resolved = resolve(mapping, table, names, file.path)
        columns = apply(resolved, sample)
        found = {n: detect_time_unit(columns[n]) for n in times if n in columns}
        units = {name: unit for name, unit in found.items() if unit is not None}
        sources.append(Source(file, resolved, units, unused(resolved, sample.column_names)))
    return sources, {
        "files": len(sources),
        "skipped_files": skipped,
        "ignored_columns": sorted({c for s in sources for c in s.ignored}),
        "time_units": sorted({f"{n}: {u}" for s in sources for n, u in s.time_units.items()}),
    }


def plan_events(places: Sequence[str], mapping: Mapping[str, str], n_partitions: int) -> Plan:
    """Plan the reading of a log of events.

    Args:
        places: see ``find_files``.
        mapping: see ``parse_mapping``.
        n_partitions: of the store.

    Raises:
        ConfigError: if a column cannot be found.
        DataError: if a file is empty, damaged or half-written.
        NotFoundError: if a place does not exist.
    """
    sources, report = understand(places, mapping, "events")
    tasks = []
    n_bytes = 0
    for number, source in enumerate(sources):
        for split in plan_splits(source.file):
            is_rows = source.file.format == "parquet"
            rows_bytes = (split.stop - split.start) * _EVENT_BYTES if is_rows else 0
            n_bytes += max(rows_bytes, split.n_bytes)
            tasks.append(
                {
                    "split": asdict(split),
                    "columns": dict(source.mapping.columns),
                    "constants": dict(source.mapping.constants),
                    "time_units": dict(source.time_units),
                    "file": number,
                }
            )
    if not tasks:
        raise DataError(f"events {', '.join(places)}", "hold no row at all", "Check --events")
    n_sub = max(1, -(-n_bytes // (n_partitions * BUCKET_BYTES)))
    return Plan([s.file.path for s in sources], tasks, n_sub, report)


def read_entities(
    places: Sequence[str], mapping: Mapping[str, str], table: str, rules: Rules
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Read items or users whole.

    Returns:
        ``(sound, quarantine, report)``: each key once (the last row wins), sorted by key.

    Raises:
        ConfigError, DataError, NotFoundError: as ``plan_events``; DataError also if there is no
            row, or the share of bad rows is over ``data.max_bad_share``.
    """
    sources, report = understand(places, mapping, table)
    parts = list(_validated(sources, table, rules))
    sound = pa.concat_tables([TABLES[table].empty_table(), *(p[0] for p in parts)])
    bad = pa.concat_tables([QUARANTINE.empty_table(), *(p[1] for p in parts)])
    n_rows = len(sound) + len(bad)
    if n_rows == 0:
        raise DataError(f"{table} {', '.join(places)}", "hold no row at all", "Check the files")
    check_bad_share(table, len(bad), n_rows, rules, bad["reason"].to_pylist()[:1])
    return merge_entities(TABLES[table].empty_table(), sound, KEYS[table]), bad, report


def _validated(
    sources: Sequence[Source], table: str, rules: Rules
) -> Iterator[tuple[pa.Table, pa.Table]]:
    for source in sources:
        own = Rules(rules.settings, rules.tenant, rules.now, source.time_units)
        for split in plan_splits(source.file):
            for raw in read_split(split, list(source.mapping.columns.values())):
                done = validate_entities(raw, source.mapping, own, table, source.file.path)
                yield done.sound, done.quarantine


def check_bad_share(
    table: str, n_bad: int, n_rows: int, rules: Rules, reasons: Sequence[str]
) -> None:
    """Refuse a table of which too many rows are bad.

    Args:
        table: its name, for the message.
        n_bad: quarantined rows.
        n_rows: all rows.
        rules: names the highest share.
        reasons: what to say about them.

    Raises:
        DataError: if the share is over ``data.max_bad_share``.
    """
    most = rules.settings.max_bad_share
    if n_bad > most * n_rows:
        raise DataError(
            f"{n_bad} of {n_rows} {table}",
            f"are bad ({n_bad / n_rows:.1%}; at most {most:.1%} may be): {', '.join(reasons)}",
            "Nothing was published. The rows lie in the store's folder quarantine/; correct the "
            "files or --map, or raise data.max_bad_share",
        )
