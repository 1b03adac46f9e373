from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from pipelines import embed, evaluate, publish
from pipelines.job import Job
from recsys.bundle import promote_bundle
from recsys.bundle_manifest import current_bundle_id
from tests.integration.past_logs import at_share, new_job, put_events, put_items, small_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

WORLD = small_world()


@dataclass(frozen=True)
class Made:
    """A store with two bundles of one world."""

    job: Job
    old: str
    """Published; knows the first 60% of the events."""
    new: str
    """Not published; knows 80%, and has other half-lives."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Made:
    job = new_job(tmp_path_factory.mktemp("publish"))
    put_items(job, WORLD.items)
    put_events(job, WORLD.events)
    old = embed.run(job, until=at_share(WORLD.events, 0.6))["bundle_id"]
    lives = job.settings.interest.model_copy(update={"half_lives_s": (3_600.0, 864_000.0)})
    changed = job.settings.model_copy(update={"interest": lives})
    other = Job(job.store, job.ledger_url, changed, job.tenant)
    new = embed.run(other, until=at_share(WORLD.events, 0.8), publish=False)["bundle_id"]
    return Made(job, old, new)


def call(made: Made, *arguments: str) -> tuple[dict[str, object], str]:
    """Run a command; its report and what people see."""
    options = [*arguments, "--store", made.job.store.uri, "--ledger", made.job.ledger_url]
    result = CliRunner().invoke(publish.app, options, catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout.splitlines()[-1]), result.stderr


def test_a_bundle_is_promoted_with_profiles_listed_and_rolled_back(made: Made) -> None:
    publish.promote(made.job, made.old)  # its profiles
    report, _ = call(made, "promote", made.new)
    assert report["bootstrap"]["n_events"] == len(WORLD.events)  # type: ignore[index]
    assert current_bundle_id(made.job.store, "default") == made.new
    report, _ = call(made, "list")
    assert report["current"] == made.new
    lines = {line["bundle_id"]: line for line in report["bundles"]}  # type: ignore[attr-defined]
    assert [lines[x]["n_snapshots"] for x in (made.old, made.new)] == [2, 2]
    assert lines[made.new]["parent"] == made.old
    assert lines[made.new]["ndcg10"] > 0
    report, _ = call(made, "rollback")
    assert (report["bundle_id"], report["was"]) == (made.old, made.new)
    assert "exact" in str(report["events"])


def test_a_bundle_differs_from_another_in_settings_half_lives_vectors_and_slates(
    made: Made,
) -> None:
    report, shown = call(made, "diff", made.old, made.new, "--users", "25")
    assert report["settings"] == {}
    assert report["half_lives_s"]["interest"][1] == [3_600.0, 864_000.0]  # type: ignore[index]
    assert report["items"]["share"] == 1.0  # type: ignore[index]
    assert report["vectors"]["p95"] < 1e-5  # type: ignore[index] - the same texts, the same PCA
    slates = report["slates"]
    assert slates["n_users"] == 25  # type: ignore[index]
    assert 0.0 < slates["mean"] < 1.0  # type: ignore[index]
    assert "half-lives" in shown


def test_a_bundle_equals_itself(made: Made) -> None:
    report = publish.diff(made.job, made.new, made.new, n_users=10)
    assert report["slates"]["mean"] == report["slates"]["same_first"] == 1.0
    assert report["ndcg10_difference"] == 0.0
    assert report["later"]["difference"]["mean"] == 0.0


def test_later_events_are_asked_as_evaluate_asks_them(made: Made) -> None:
    later = publish.diff(made.job, made.old, made.new, n_users=1)["later"]
    assert later is not None
    measured = [
        evaluate.run(made.job, split=f"time:{later['since']!r}", bundle_id=bundle_id)
        for bundle_id in (made.old, made.new)
    ]
    assert later["ndcg10"] == pytest.approx([found["ndcg10"] for found in measured])
    assert later["n_queries"] == measured[0]["new"]["n_queries"]


def test_if_better_decides_by_the_later_events_where_the_tails_differ(made: Made) -> None:
    promote_bundle(made.job.store, "default", made.old)
    later = publish.diff(made.job, made.old, made.new, n_users=1)["later"]
    assert later is not None
    is_better = later["ndcg10"][1] >= later["ndcg10"][0]
    better, worse = (made.new, made.old) if is_better else (made.old, made.new)
    promote_bundle(made.job.store, "default", worse)
    report, _ = call(made, "promote", better, "--if-better")
    assert report["moved"]
    result = CliRunner().invoke(
        publish.app,
        ["promote", worse, "--if-better", "--store", made.job.store.uri],
    )
    assert "is worse than the published" in str(result.exception)
    assert current_bundle_id(made.job.store, "default") == better
