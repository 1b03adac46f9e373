"""Move the ranking weights by feedback: ``python -m pipelines.adapt step|list|revert``.

    impressions and answers since the last step -> features as of then -> one bounded step -> log

Every step is a version in the store (``recsys.ranker.versions``). Gateways that are told to
(``ranker.follow``) rank by the latest version of their bundle; run ``step`` as often as weights
shall move. The record is read as a whole, as ``evaluate`` does.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
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
    working,
)
from pipelines.past import Past, read_past, shelf_of
from recsys.archive import Archive
from recsys.bundle import Bundle, load_bundle
from recsys.bundle_manifest import current_bundle_id
from recsys.errors import ConfigError, NotFoundError
from recsys.evaluation.composition import Stage, with_histories
from recsys.evaluation.protocol import ask
from recsys.evaluation.scene import Asked
from recsys.evaluation.split import Queries
from recsys.interest.replay import ends_before
from recsys.ledger import open_ledger
from recsys.ranker.feedback import Answered, answered_slates, shown_as_then
from recsys.ranker.model import Ranker
from recsys.ranker.online import step
from recsys.ranker.versions import Version, latest, put_version, read_log, read_version
from recsys.record import read_all

_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text", "request_id"]


def run(job: Job) -> dict[str, Any]:
    """Take one step by what was answered since the last one.

    Args:
        job: store, ledger, tenant and settings.

    Returns:
        ``version`` (None where there was nothing to learn from), ``n_slates``, ``moved`` and
        ``weights``.

    Raises:
        ConfigError: if the bundle has no ranking model, or one whose weights cannot be moved.
        ConflictError: if another job moved the weights meanwhile.
    """
    with working("read the record"), closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(Archive(job.store), ledger, job.tenant, columns=_COLUMNS)
        past = read_past(job, table=table)
    ranker = _movable(past.bundle)
    log = read_log(job.store, job.tenant)
    before = latest(job.store, job.tenant, past.bundle.bundle_id)
    options = job.settings.ranker
    since = past.bundle.data_until if before is None else before.until
    until = float(past.events.ts.max(initial=-np.inf)) - options.answer_window_s
    window = (since, until, options.answer_window_s)
    slates = answered_slates(table, past.events, past.positive, past.catalog.index, window)
    weights = ranker.weights if before is None else before.weights
    if len(slates) == 0:
        return {"version": None, "n_slates": 0, "moved": {}, "weights": dict(weights)}
    with working("read the slates as they were shown"):
        stage = Stage(past.scene, shelf_of(past))
        moved = step(ranker, weights, shown_as_then(stage, _asked(past, slates), slates), options)
    version = Version(
        bundle_id=past.bundle.bundle_id,
        weights=moved.weights,
        at=time.time(),
        until=slates[-1].at,
        cause="step",
        parent=None if before is None else before.name,
        moved=moved.moved,
        n_slates=moved.n_slates,
        surprise=moved.surprise,
    )
    put_version(job.store, job.tenant, version, log)
    return {"version": version.name, "n_slates": len(slates), **_told(version)}


def revert(job: Job, name: str | None) -> dict[str, Any]:
    """Let the weights of an earlier version count again.

    Args:
        job: store and tenant.
        name: which version; None = the weights that the published bundle was fitted with.

    Returns:
        The new ``version``, ``moved`` and ``weights``.

    Raises:
        NotFoundError: if there is no such version, or it is of another bundle.
    """
    bundle = load_bundle(job.store, job.tenant)
    bundle_id, ranker = bundle.bundle_id, _movable(bundle)
    log = read_log(job.store, job.tenant)
    before = latest(job.store, job.tenant, bundle_id)
    weights = ranker.weights
    if name is not None:
        wanted = read_version(job.store, job.tenant, name)
        if wanted.bundle_id != bundle_id:
            raise NotFoundError(f"version {name}", f"is not of bundle {bundle_id}", "See `list`")
        weights = wanted.weights
    if before is None:
        return {"version": None, "moved": {}, "weights": dict(ranker.weights)}
    moved = {
        one: (weight - before.weights[one]) * ranker.spreads.get(one, 0.0)
        for one, weight in weights.items()
    }
    version = replace(
        before,
        weights=dict(weights),
        at=time.time(),
        cause="revert",
        parent=before.name,
        moved=moved,
        n_slates=0,
        surprise=0.0,
    )
    put_version(job.store, job.tenant, version, log)
    return {"version": version.name, **_told(version)}


def list_all(job: Job) -> dict[str, Any]:
    """All versions, the newest first; the first one counts, if it is of the published bundle."""
    names = read_log(job.store, job.tenant).names
    found = [read_version(job.store, job.tenant, name) for name in reversed(names)]
    current = current_bundle_id(job.store, job.tenant)
    return {"bundle_id": current, "versions": [{"version": v.name, **vars(v)} for v in found]}


def _movable(bundle: Bundle) -> Ranker:
    ranker = bundle.ranker
    if ranker is None or ranker.alpha.kind != "fixed":
        problem = "has no ranking model whose weights can be moved"
        remedy = "Publish one with ranker.kind=linear and ranker.alpha=fixed"
        raise ConfigError(f"bundle {bundle.bundle_id}", problem, remedy)
    return ranker


def _told(version: Version) -> dict[str, Any]:
    return {"moved": dict(version.moved), "weights": dict(version.weights)}


def _asked(past: Past, slates: list[Answered]) -> Asked:
    """A query for each slate, at the moment that it was shown."""
    user = np.array([slate.user for slate in slates], np.int64)
    at = np.array([slate.at for slate in slates])
    queries = Queries(
        user=user,
        as_of=at,
        history_end=ends_before(past.events, user, at),
        target_bounds=np.zeros(len(slates) + 1, np.int64),
        target=np.zeros(0, np.int64),
    )
    settings = past.settings
    asked = ask(past.events, past.scene, queries, past.touches, settings)
    return with_histories(asked, past.events, settings.interest, settings.data)


app = command_line("Move the weights of the ranking model by feedback, list and revert it.")


@app.command("step")
def step_command(
    store: StoreOption,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """One bounded step by the slates that were answered since the last one.

    Example: python -m pipelines.adapt step --store S
    """
    finish(run(open_job(store, ledger, tenant, config, assignments)))


@app.command("list")
def list_command(store: StoreOption, tenant: TenantOption = "default") -> None:
    """All versions, the newest first.

    Example: python -m pipelines.adapt list --store S
    """
    finish(list_all(open_job(store, None, tenant, None, None)))


@app.command("revert")
def revert_command(
    store: StoreOption,
    version: Annotated[
        str | None, typer.Option(help="Which; default: the weights as they were fitted.")
    ] = None,
    tenant: TenantOption = "default",
) -> None:
    """Let earlier weights count again; the log keeps everything.

    Example: python -m pipelines.adapt revert --store S --version 1a2b
    """
    finish(revert(open_job(store, None, tenant, None, None), version))


if __name__ == "__main__":
    main(app)
