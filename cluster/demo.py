"""The whole of Halflife on real data, from a log to slates that change while you look.

``python -m cluster.demo --dataset movielens-100k`` is what ``make demo`` runs: fetch, ingest,
train as of the split, evaluate, train on everything, fold the profiles, serve, and then the story
of a taste that comes and fades. With ``--zero-shot`` nothing is trained. Progress goes to stderr;
the last line of stdout is one JSON object.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer

from cluster import local, story
from cluster.demo_training import BUDGET_S, Course, train_all, train_until
from pipelines import bootstrap, datasets, embed, evaluate, ingest, job
from pipelines.past import read_events
from recsys.archive import Archive
from recsys.bundle import load_bundle
from recsys.errors import NotFoundError
from recsys.events import timestamps_s
from recsys.settings import DAY_S, HOUR_S

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

SPLIT = "time:0.8"
MIN_EVENTS = 100
MIN_SPAN_S = 45 * DAY_S
EVENT = {
    "movielens-100k": {"kind": "rating", "value": 5.0},
    "completejourney": {"kind": "purchase", "value": 5.0},
}


@app.command()
def demo(
    dataset: Annotated[str, typer.Option(help="movielens-100k or completejourney.")] = (
        "movielens-100k"
    ),
    store: Annotated[str, typer.Option(help="Folder of the store.")] = "store/movielens-100k",
    port: Annotated[int, typer.Option(help="Port of the service.")] = 8000,
    leave: Annotated[
        bool, typer.Option("--exit/--stay", help="Stop the service at the end.")
    ] = False,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot/--train", help="Serve without any training.")
    ] = False,
    budget: Annotated[float, typer.Option(help="Seconds of both trainings.", min=1.0)] = BUDGET_S,
) -> None:
    """Run every stage, tell the story, and leave the service up (unless told to exit)."""
    if dataset not in EVENT:
        raise NotFoundError(f"demo of {dataset!r}", "does not exist", f"Choose of {sorted(EVENT)}")
    stages: dict[str, float] = {}
    work = job.open_job(store)
    local.down(work)
    with job.ray_session():
        quality = _offline(work, dataset, stages, None if zero_shot else budget)
    work = _replaying(work)
    with _stage(stages, "serve", "Serve: the pool and the application"):
        service = local.up(work, port)
    try:
        with _stage(stages, "story", "The point: interest that fades"):
            told = _tell(work, service.url, EVENT[dataset])
    finally:
        if leave:
            local.down(work)
    if not leave:
        _farewell(service.url, told.user_id, store)
    job.finish({"dataset": dataset, "stages": stages, **quality, **asdict(told)})


def _offline(
    work: job.Job, dataset: str, stages: dict[str, float], budget_s: float | None
) -> dict[str, Any]:
    """From the log to profiles, and an honest score on the way; without a budget zero-shot."""
    with _stage(stages, "fetch", "Fetch the log"):
        files = datasets.fetch(dataset)
    with _stage(stages, "ingest", "Ingest: validate, deduplicate, partition by user"):
        taken = ingest.run(
            work, events=[str(files.events)], items=[str(files.items)], users=[str(files.users)]
        )
    until = evaluate.split_time(work, SPLIT)
    course = None
    if budget_s is None:
        with _stage(stages, "embed_until_split", "Embed: read the items, as known at the split"):
            measured = embed.run(work, until=until)["bundle_id"]
    else:
        with _stage(stages, "train_until_split", "Train: interest and half-lives, to the split"):
            course = train_until(work, until, budget_s)
            measured = course.bundle_id
    with _stage(stages, "evaluate", "Evaluate: every later event is a question"):
        report = evaluate.run(work, split=SPLIT, bundle_id=measured)
    trained = _to_be_served(work, stages, course, taken["n_events_total"])
    job.console.print(f"report: {work.store.uri}/{report['files']['html']}", soft_wrap=True)
    keys = ("model", "ndcg10", "popular_best", "popular_best_ndcg10")
    return {"n_events": taken["n_events_total"], **{key: report[key] for key in keys}, **trained}


def _to_be_served(
    work: job.Job, stages: dict[str, float], course: Course | None, n_events: int
) -> dict[str, Any]:
    """Publish a bundle of everything, with its profiles; the figures of training, if any."""
    if course is not None:
        with _stage(stages, "train", "Train: the bundle that is served, on everything"):
            return train_all(work, course, n_events)
    with _stage(stages, "embed", "Embed: the bundle that is served"):
        embed.run(work)
    with _stage(stages, "bootstrap", "Bootstrap: fold the log into profiles"):
        bootstrap.run(work)
    return {}


@contextmanager
def _stage(stages: dict[str, float], name: str, title: str) -> Iterator[None]:
    job.console.rule(f"[bold]{title}[/]", align="left")
    with job.timed(stages, name):
        yield


def _replaying(work: job.Job) -> job.Job:
    """The same job with a clock that stands an hour after the log's last event."""
    manifest = Archive(work.store).manifest()
    assert manifest is not None and manifest.data_until is not None, "the demo has just ingested"
    offset = manifest.data_until + HOUR_S - datetime.now(UTC).timestamp()
    serving = work.settings.serving.model_copy(update={"clock_offset_s": offset})
    return replace(work, settings=work.settings.model_copy(update={"serving": serving}))


def _tell(work: job.Job, url: str, event: dict[str, Any]) -> story.Story:
    bundle = load_bundle(work.store, work.tenant)
    with httpx.Client(base_url=url, timeout=30.0) as client:
        service = story.Service(client)
        return story.tell(
            service, bundle.catalog, bundle.items.directions, _somebody(work), event, job.console
        )


def _somebody(work: job.Job) -> str:
    """Of the users who have come back for weeks, the one who was here last."""
    users = (
        read_events(work)
        .group_by("user_id")
        .aggregate([("ts", "min"), ("ts", "max"), ("ts", "count")])
        .sort_by([("ts_max", "descending"), ("user_id", "ascending")])
    )
    span_s = timestamps_s(users["ts_max"]) - timestamps_s(users["ts_min"])
    regular = (users["ts_count"].to_numpy() >= MIN_EVENTS) & (span_s >= MIN_SPAN_S)
    return str((users.filter(regular) if regular.any() else users)["user_id"][0])


def _farewell(url: str, user_id: str, store: str) -> None:
    job.console.rule("[bold]It is yours[/]")
    job.console.print(
        f"curl '{url}/v1/users/{user_id}/recommendations?k=5'\n"
        f"curl '{url}/v1/users/{user_id}/profile'\n"
        f"curl '{url}/v1/trending?k=5'\n"
        f"python -m cluster.local down --store {store}",
        soft_wrap=True,
        highlight=False,
    )


if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per request is too many
    job.main(app)
