"""Recommend for moments in the past or now: each query sees exactly the events before it.

queries (user_id, ts) -> profiles and trend as they were at ts (Ray tasks) -> ranked items

For each query the events with ``event.ts < ts`` are used, the user's own and for trend everybody's,
those that came after the bundle was made included.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import typer

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
    ray_session,
    timed,
)
from pipelines.past import Past, read_past, scatter, shelf_of
from pipelines.told import told_of
from recsys.errors import ConfigError, DataError, LeakageError
from recsys.evaluation.batch import Way, recommend_composed
from recsys.evaluation.composition import Stage, with_histories
from recsys.evaluation.protocol import ask, recommend, with_habits
from recsys.evaluation.scene import Asked
from recsys.evaluation.split import Queries
from recsys.events import timestamps_s
from recsys.interest.replay import ends_before
from recsys.rights.staged import remember_output
from recsys.rules.schema import RuleSet
from recsys.rules.versions import load_version, read_current
from recsys.schema import TIMESTAMP

SAID = "interests"
SEEN = ("exclude", "include")

RECOMMENDATIONS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("ts", TIMESTAMP, nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)


def run(  # noqa: PLR0913, PLR0917 - the options of the command
    job: Job,
    queries: str | Path,
    out: str | Path,
    k: int = 100,
    seen: str = "exclude",
    allow_future_bundle: bool = False,
    bundle_id: str | None = None,
) -> dict[str, Any]:
    """Answer a file of queries.

    Args:
        job: store, ledger, tenant and settings.
        queries: Parquet file with ``user_id`` (string) and ``ts`` (timestamp, or Unix seconds), and
            perhaps ``interests``: what the user says ("science fiction, no horror"), or null.
        out: Parquet file to write: ``RECOMMENDATIONS``, in the order of the queries, best first.
        k: most items per query; positive.
        seen: ``exclude`` or ``include`` what the user has touched.
        allow_future_bundle: answer queries from before the bundle's latest event too; the file's
            metadata then says so.
        bundle_id: which bundle; None = the published one.

    Returns:
        The report: counts, seconds, the bundle.

    Raises:
        ConfigError: if an option or the query file is unusable.
        LeakageError: if the bundle knows data from a query's moment on.
    """
    if k < 1 or seen not in SEEN:
        raise ConfigError(f"k = {k}, seen = {seen!r}", "are no options", "k >= 1, exclude|include")
    stages: dict[str, float] = {}
    with timed(stages, "read"):
        asked = read_queries(queries)
        past = read_past(job, bundle_id)
    n_future = _check(past, asked, job, allow_future_bundle)
    with timed(stages, "recommend"):
        table = _answers(job, past, asked, k, seen == "exclude")
    marks = {
        "bundle_id": past.bundle.bundle_id,
        "bundle_from_the_future": str(n_future > 0).lower(),
    }
    remember_output(job.store, str(Path(out).absolute()))  # first: an erasure must find it
    pq.write_table(table.replace_schema_metadata(marks), out, compression="zstd")
    known = set(past.events.user_ids)
    return {
        "bundle_id": past.bundle.bundle_id,
        "data_until": past.bundle.data_until,
        "n_queries": len(asked),
        "n_unknown_users": sum(user not in known for user in asked["user_id"].to_pylist()),
        "n_queries_before_data_until": n_future,
        "n_rows": len(table),
        "seen": seen,
        "k": k,
        "out": str(out),
        "stages": stages,
    }


def read_queries(path: str | Path) -> pa.Table:
    """A query file as ``user_id`` (string), ``ts`` (``TIMESTAMP``) and perhaps ``interests``.

    Raises:
        ConfigError: if it cannot be read, lacks a column, or holds nulls or other types.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"queries {path}", f"cannot be read ({error})", _REMEDY) from error
    missing = {"user_id", "ts"} - set(table.column_names)
    if missing:
        found = ", ".join(table.column_names)
        raise ConfigError(f"queries {path}", f"lack {sorted(missing)}; found {found}", _REMEDY)
    try:
        ts = table["ts"]
        if not pa.types.is_timestamp(ts.type):
            seconds = pc.multiply(pc.cast(ts, pa.float64()), 1e6)
            ts = pc.cast(pc.round(seconds), pa.int64())
        found = pa.table({"user_id": pc.cast(table["user_id"], pa.string()), "ts": _utc(ts)})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"queries {path}", f"have wrong types ({error})", _REMEDY) from error
    if any(column.null_count for column in found.columns):
        raise ConfigError(f"queries {path}", "hold empty cells", _REMEDY)
    if SAID not in table.column_names:
        return found
    if not pa.types.is_string(table[SAID].type):
        raise ConfigError(f"queries {path}", f"have {SAID} that are no strings", _REMEDY)
    return found.append_column(SAID, table[SAID])


def _utc(ts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as ``TIMESTAMP``; such without a zone are UTC."""
    if pa.types.is_timestamp(ts.type):
        ts = pc.cast(pc.cast(ts, pa.timestamp("us", tz=ts.type.tz), safe=False), pa.int64())
    return pc.cast(ts, TIMESTAMP)


def _check(past: Past, asked: pa.Table, job: Job, allowed: bool) -> int:
    """How many queries lie at or before what the bundle knows; refused unless allowed."""
    if len(asked) == 0:
        raise DataError("queries", "are empty", _REMEDY)
    until = past.bundle.data_until
    moments = timestamps_s(asked["ts"])
    n_early, first = int((moments <= until).sum()), float(moments.min())
    if n_early > 0 and not allowed:
        raise LeakageError(
            f"bundle {past.bundle.bundle_id}",
            f"knows events until {until:.6f}, and {n_early} queries are not after that",
            f"Run `python -m pipelines.embed --store {job.store.uri} --until {first!r}`, or "
            "give --allow-future-bundle, which marks the output",
        )
    return n_early


def _answers(job: Job, past: Past, table: pa.Table, k: int, exclude_seen: bool) -> pa.Table:
    moments = timestamps_s(table["ts"])
    index = {user_id: row for row, user_id in enumerate(past.events.user_ids)}
    user = np.array([index.get(u, -1) for u in table["user_id"].to_pylist()], np.int64)
    order = np.argsort(moments, kind="stable")
    asked = _asked(past, user[order], moments[order], exclude_seen)
    in_time = table.take(pa.array(order))
    said = in_time[SAID].to_pylist() if SAID in table.column_names else None
    rules = load_version(job.store, job.tenant, read_current(job.store, job.tenant).version)
    who = in_time["user_id"].to_pylist()
    told = told_of(job, past, who, said, reads_attributes=len(rules.rules) > 0)
    asked = replace(asked, told=told)
    with ray_session():
        found = _scored(past, asked, k, exclude_seen, rules)
    back = np.argsort(order, kind="stable")
    rows, scores = found["rows"][back], found["scores"][back]
    query, place = np.nonzero(rows >= 0)
    item_ids = pa.array(past.catalog.item_ids, pa.string())
    return pa.table(
        [
            table["user_id"].combine_chunks().take(pa.array(query)),
            table["ts"].combine_chunks().take(pa.array(query)),
            item_ids.take(pa.array(rows[query, place])),
            pa.array((place + 1).astype(np.int32)),
            pa.array(scores[query, place]),
        ],
        schema=RECOMMENDATIONS,
    )


def _scored(past: Past, asked: Asked, k: int, exclude_seen: bool, rules: RuleSet) -> dict[str, Any]:
    """Slates as they are served; with seen items they are the encoder's, and the users' habits."""
    shelf, settings = shelf_of(past), past.settings
    way = Way(k, settings.retrieval.n_candidates, settings.reranking, rules)
    is_plain = shelf.ranker is None and len(way.reranking.steps) == 0 and len(rules.rules) == 0
    if is_plain or not exclude_seen:
        scene = ray.put(past.scene)
        return scatter("recommend", recommend, scene, asked, (k, exclude_seen))
    asked = with_histories(asked, past.events, settings.interest, settings.data)
    stage = ray.put(Stage(past.scene, shelf))
    return scatter("recommend", recommend_composed, stage, asked, (way,))


def _asked(
    past: Past,
    user: npt.NDArray[np.int64],
    as_of: npt.NDArray[np.float64],
    exclude_seen: bool,
) -> Asked:
    """The queries, rising in time, with what is known of each user strictly before."""
    nothing = np.zeros(0, np.int64)
    queries = Queries(
        user=user,
        as_of=as_of,
        history_end=ends_before(past.events, user, as_of),
        target_bounds=np.zeros(len(user) + 1, np.int64),
        target=nothing,
    )
    asked = ask(past.events, past.scene, queries, past.touches, past.settings)
    if exclude_seen or len(past.bundle.weights.own) == 0:
        return asked
    half_lives_s = past.settings.interest.half_lives_s
    return with_habits(asked, past.events, past.positive, half_lives_s)


_REMEDY = "Give a Parquet file with columns user_id and ts, no empty cells"

app = command_line()


@app.command("recommend")
def command(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    queries: Annotated[str, typer.Option(help="Parquet file: user_id, ts.")],
    out: Annotated[str, typer.Option(help="Parquet file to write.")],
    k: Annotated[int, typer.Option(help="Most items per query.", min=1)] = 100,
    seen: Annotated[str, typer.Option(help="exclude or include touched items.")] = "exclude",
    allow_future_bundle: Annotated[
        bool, typer.Option(help="Answer queries from before the bundle's latest event too.")
    ] = False,
    bundle: Annotated[str | None, typer.Option(help="Bundle id; default: the published.")] = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Rank items for each (user, moment), from exactly the events before it.

    Example: python -m pipelines.recommend --store S --queries Q.parquet --k 100 --out R.parquet
    """
    job = open_job(store, ledger, tenant, config, assignments)
    finish(run(job, queries, out, k, seen, allow_future_bundle, bundle))


if __name__ == "__main__":
    main(app)
