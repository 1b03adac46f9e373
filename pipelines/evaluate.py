"""Measure a bundle on the record: figures with intervals against every baseline, and a report.

record -> queries after the split -> every system's ranks (Ray tasks) -> JSON + HTML in the store

Only a bundle that knows nothing from the split on is used.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import ray
import typer
from plotly.offline import get_plotlyjs

from pipelines.evaluate_composition import measure_composition
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
    working,
)
from pipelines.past import Past, read_events, read_past, scatter
from pipelines.splits import Split, parse_split, share_of
from pipelines.told import told_of
from recsys.bundle_manifest import load_manifest
from recsys.errors import ConfigError, DataError, LeakageError
from recsys.evaluation.baselines import POPULAR_WINDOWS_S
from recsys.evaluation.composition import FULL
from recsys.evaluation.lives import interests_over_time, most_active
from recsys.evaluation.protocol import (
    OURS,
    REPEAT_SYSTEMS,
    ask,
    new_systems,
    score_new,
    score_repeats,
    with_baselines,
    with_habits,
)
from recsys.evaluation.ratings import rating_figures
from recsys.evaluation.report import render
from recsys.evaluation.split import Queries, draw_users
from recsys.evaluation.summary import (
    Outcome,
    by_activity,
    by_popularity,
    slates,
    summarise,
    target_counts,
)
from recsys.interest.stored import LEARNED, ZERO_SHOT
from recsys.shelf import Shelf
from recsys.sources.gather import quotas_of

N_LIVES = 4


def split_time(job: Job, split: str = "time:0.8") -> float:
    """The moment T of a time split: ``embed(until=T)`` makes a bundle that it can measure.

    Args:
        job: store, ledger and tenant.
        split: ``time:0.8`` (a share of the events), ``time:2024-05-01`` or ``time:1714521600``.

    Raises:
        ConfigError: if it is no time split.
    """
    start = parse_split(split, None if share_of(split) is None else read_events(job)).start
    if start is None:
        raise ConfigError(f"split {split}", "has no split time", "Use time:0.8")
    return start


def run(
    job: Job,
    split: str = "time:0.8",
    k: int = 10,
    bundle_id: str | None = None,
    allow_future_bundle: bool = False,
    composition: bool = False,
) -> dict[str, Any]:
    """Measure a bundle.

    Args:
        job: store, ledger, tenant and settings.
        split: ``time:SHARE``, ``time:ISO``, ``loo`` (last event by order) or ``loo-strict``
            (histories end before the last event's instant).
        k: the cut-off of the metrics; positive.
        bundle_id: which bundle; None = the published one.
        allow_future_bundle: measure although the bundle knows the answers; the report says so.
        composition: also measure sources and rerank steps, all together and without each.

    Returns:
        The report: ``ndcg10`` and ``popular_best_ndcg10`` (of the given k), ``systems`` {name:
        NDCG}, ``new`` and ``repeats`` with every metric, ``strata``, ``slates``, ``split``,
        ``ratings`` (RMSE and MAE; None without ratings to predict), ``composition`` (where it was
        asked for), and ``files`` of the reports in the store.

    Raises:
        LeakageError: if the bundle knows data from the split on.
    """
    if k < 1:
        raise ConfigError(f"k = {k}", "is no cut-off", "Use --k 10")
    stages: dict[str, float] = {}
    with timed(stages, "read"), working("read the record"):
        table = read_events(job)
        chosen = parse_split(split, table)
        if chosen.start is not None:
            _check_time(job, bundle_id, chosen.start, allow_future_bundle)
        past = read_past(job, bundle_id, table)
        whole = chosen.queries(past)
        first = float(whole.as_of.min()) if chosen.start is None else chosen.start
        is_future = _check_time(job, bundle_id, first, allow_future_bundle)
    report = _measured(job, past, chosen, whole, k, stages)
    if composition:
        with timed(stages, "composition"):
            report["composition"] = _composition(job, past, chosen, whole, report)
    report["bundle_saw_answers"] = is_future
    with timed(stages, "lives"):
        scene, settings = past.scene, past.settings
        shelf = Shelf(past.catalog, scene.items, scene.model, settings.interest, settings.trend)
        users = most_active(whole, N_LIVES)
        lives = interests_over_time(past.events, users, shelf, scene.texts)
    report["stages"] = stages
    page = render({**report, "lives": lives}, get_plotlyjs())
    figures = json.dumps(report, sort_keys=True, indent=1).encode()
    report["files"] = {
        "html": job.store.put_content("reports", page.encode(), ".html"),
        "json": job.store.put_content("reports", figures, ".json"),
    }
    return report


def _measured(
    job: Job, past: Past, split: Split, whole: Queries, k: int, stages: dict[str, float]
) -> dict[str, Any]:
    settings = past.settings.evaluation
    queries = draw_users(whole, settings.max_queries, np.random.default_rng(settings.seed))
    repeat = past.touches.is_repeat(queries)
    with ray_session():
        scene = ray.put(past.scene)
        with timed(stages, "new"):
            new = _new(job, past, scene, queries.asking(~repeat), split.start, k)
        with timed(stages, "repeats"):
            again = queries.asking(repeat)
            repeats = _repeats(past, scene, again, k) if len(again) > 0 else None
    with timed(stages, "summary"):
        found = summarise(new)
        ndcg = {name: m["ndcg"]["mean"] for name, m in found["systems"].items()}
        best = max(POPULAR_WINDOWS_S, key=lambda name: ndcg[name])
        before = past.scene.ts < (np.inf if split.start is None else split.start)
        popularity = np.bincount(past.scene.item[before], minlength=len(past.catalog))
        history = new.queries.history_end - past.events.bounds[new.queries.user]
        counts = target_counts(new.queries, past.scene.item, past.scene.ts)
        return {
            "k": k,
            f"ndcg{k}": ndcg[OURS],
            f"popular_best_ndcg{k}": ndcg[best],
            "popular_best": best,
            "systems": ndcg,
            "new": found,
            "repeats": None if repeats is None else summarise(repeats),
            "strata": {
                "activity": by_activity(new, history, settings),
                "popularity": by_popularity(new, counts, settings),
            },
            "slates": slates(new, past.scene.items.directions, popularity),
            "ratings": rating_figures(past.events, split.start, settings),
            "split": {
                "name": split.name,
                "start": split.start,
                "n_queries": len(whole),
                "n_queries_drawn": len(queries),
                "n_targets": len(queries.target),
                "n_repeat_targets": int(repeat.sum()),
            },
            **_circumstances(past),
        }


def _composition(
    job: Job, past: Past, split: Split, whole: Queries, report: dict[str, Any]
) -> dict[str, Any]:
    """Sources and steps, and how much more of the catalog they show than popularity does."""
    quotas = quotas_of(job.settings.retrieval, past.settings.retrieval)
    with ray_session():
        found = measure_composition(past, split, whole, report["k"], quotas)
    best = report["slates"][report["popular_best"]]["coverage"]
    ratio = found["variants"][FULL]["coverage"] / best if best > 0 else None
    return {**found, "coverage_ratio": ratio}


def _circumstances(past: Past) -> dict[str, Any]:
    settings = past.settings
    return {
        "bundle_id": past.bundle.bundle_id,
        "model": LEARNED if past.bundle.is_learned else ZERO_SHOT,
        "data_until": past.bundle.data_until,
        "n_events": len(past.events),
        "n_users": len(past.events.user_ids),
        "n_items": len(past.catalog),
        "weights": past.bundle.weights.as_dict(),
        "weights_chosen_by": past.bundle.manifest["ranking"]["figures"],
        "half_lives_s": {
            "interest": list(settings.interest.half_lives_s),
            "negative": list(settings.interest.negative_half_lives_s),
            "trend": list(settings.trend.half_lives_s),
            "own": list(settings.interest.half_lives_s),
        },
        "positive_kinds": list(settings.interest.positive_kinds),
        "rating_positive_min": settings.interest.rating_positive_min,
        "n_bootstrap": settings.evaluation.n_bootstrap,
        "seed": settings.evaluation.seed,
    }


def _new(job: Job, past: Past, scene: Any, queries: Queries, start: Any, k: int) -> Outcome:
    if len(queries) == 0:
        raise DataError("split", "leaves only repeats to ask for", "Choose an earlier split")
    asked = ask(past.events, past.scene, queries, past.touches, past.settings)
    users = [past.events.user_ids[user] for user in asked.queries.user.tolist()]
    asked = replace(asked, told=told_of(job, past, users))
    asked = with_baselines(asked, past.events, past.scene, past.positive, past.settings, start)
    result = scatter("new to the user", score_new, scene, asked, (k, start))
    outcome = Outcome(asked.queries, new_systems(start), result, k)
    return outcome.draw(past.settings.evaluation)


def _repeats(past: Past, scene: Any, queries: Queries, k: int) -> Outcome:
    asked = ask(past.events, past.scene, queries, past.touches, past.settings)
    half_lives_s = past.settings.interest.half_lives_s
    asked = with_habits(asked, past.events, past.positive, half_lives_s)
    result = scatter("repeats", score_repeats, scene, asked)
    outcome = Outcome(asked.queries, REPEAT_SYSTEMS, result, k)
    return outcome.draw(past.settings.evaluation)


def _check_time(job: Job, bundle_id: str | None, start: float, allowed: bool) -> bool:
    """Whether the bundle knows data from ``start`` on; refused unless allowed."""
    manifest = load_manifest(job.store, job.tenant, bundle_id)
    is_future = bool(manifest["data_until"] >= start)
    if is_future and not allowed:
        raise LeakageError(
            f"bundle {manifest['bundle_id']}",
            f"knows events until {manifest['data_until']:.6f}, and the split begins at {start:.6f}",
            f"Run `python -m pipelines.embed --store {job.store.uri} --until {start!r}` and "
            "evaluate that bundle, or give --allow-future-bundle and read the figures as such",
        )
    return is_future


app = command_line()


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    split: Annotated[
        str, typer.Option(help="time:SHARE, time:ISO, loo or loo-strict.")
    ] = "time:0.8",
    k: Annotated[int, typer.Option(help="Cut-off of the metrics.", min=1)] = 10,
    bundle: Annotated[str | None, typer.Option(help="Bundle id; default: the published.")] = None,
    allow_future_bundle: Annotated[
        bool, typer.Option(help="Measure although the bundle knows the answers.")
    ] = False,
    composition: Annotated[
        bool, typer.Option(help="Also measure sources and rerank steps, with and without each.")
    ] = False,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Figures with intervals as JSON (the last line) and as an HTML report in the store.

    Example: python -m pipelines.evaluate --store S --split time:0.8 (the bundle must be from
    before the split: `pipelines.embed --until`)
    """
    job = open_job(store, ledger, tenant, config, assignments)
    finish(run(job, split, k, bundle, allow_future_bundle, composition))


if __name__ == "__main__":
    main(app)
