from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines import embed, evaluate
from pipelines.job import Job
from recsys.errors import ConfigError, DataError, LeakageError
from recsys.evaluation.protocol import OURS
from recsys.events import timestamps_s
from tests.integration.past_logs import new_job, put_events, put_items, small_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

WORLD = small_world()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Job:
    """A store with the world and a bundle that ends at the split."""
    job = new_job(tmp_path_factory.mktemp("evaluate"))
    put_items(job, WORLD.items)
    put_events(job, WORLD.events)
    embed.run(job, until=evaluate.split_time(job))
    return job


def test_the_split_time_is_known_before_any_bundle(tmp_path: Path) -> None:
    job = new_job(tmp_path / "bare")
    put_events(job, WORLD.events)
    ts = timestamps_s(WORLD.events["ts"])
    assert (ts < evaluate.split_time(job, "time:0.8")).mean() == pytest.approx(0.8, abs=0.001)
    assert evaluate.split_time(job, "time:1970-01-02") == 86_400.0


def test_the_report_has_every_figure_and_stands_in_the_store(made: Job) -> None:
    report = evaluate.run(made)
    assert report["ndcg10"] == report["systems"][OURS]
    assert report["popular_best_ndcg10"] == report["systems"][report["popular_best"]]
    assert report["split"]["start"] == evaluate.split_time(made)
    assert report["bundle_saw_answers"] is False
    for part in ("new", "repeats"):
        for found in report[part]["systems"].values():
            assert all(x["low"] <= x["mean"] <= x["high"] for x in found.values())
    assert report["split"]["n_repeat_targets"] > 0
    activity = report["strata"]["activity"]
    assert sum(row["n_queries"] for row in activity) == report["new"]["n_queries"]
    assert {"coverage", "novelty_bits", "diversity", "gini"} == set(report["slates"][OURS])
    page = made.store.read(report["files"]["html"]).decode()
    assert "Plotly.newPlot" in page
    assert "src=" not in page.split("<body>")[1]
    assert "u000001" not in page  # users have no name in a report
    assert json.loads(made.store.read(report["files"]["json"]))["ndcg10"] == report["ndcg10"]


def test_interest_that_switches_is_followed_better_than_by_popularity(made: Job) -> None:
    report = evaluate.run(made)
    assert report["ndcg10"] > report["popular_best_ndcg10"]


def test_the_same_run_gives_the_same_figures(made: Job) -> None:
    first, second = evaluate.run(made, k=5), evaluate.run(made, k=5)
    assert {**first, "stages": 0, "files": 0} == {**second, "stages": 0, "files": 0}


def test_a_bundle_that_knows_the_answers_is_refused_unless_allowed(made: Job) -> None:
    early = float(np.quantile(timestamps_s(WORLD.events["ts"]), 0.5))
    with pytest.raises(LeakageError, match="--until"):
        evaluate.run(made, split=f"time:{early}")
    report = evaluate.run(made, split=f"time:{early}", allow_future_bundle=True)
    assert report["bundle_saw_answers"] is True


def test_leave_one_out_asks_every_user_once(made: Job) -> None:
    whole = embed.run(made, publish=False)["bundle_id"]
    with pytest.raises(LeakageError, match=whole):
        evaluate.run(made, split="loo", bundle_id=whole)
    for split in ("loo", "loo-strict"):
        report = evaluate.run(made, split=split, bundle_id=whole, allow_future_bundle=True)
        assert report["split"]["n_queries"] == len(set(WORLD.events["user_id"].to_pylist()))
        assert report["split"]["start"] is None


def test_whole_users_are_drawn_when_there_are_too_many_queries(made: Job) -> None:
    settings = made.settings.evaluation.model_copy(update={"max_queries": 100})
    small = Job(
        made.store,
        made.ledger_url,
        made.settings.model_copy(update={"evaluation": settings}),
        made.tenant,
    )
    report = evaluate.run(small)
    assert report["split"]["n_queries_drawn"] <= 100 < report["split"]["n_queries"]


@pytest.mark.parametrize("split", ["time", "half", "time:soon", "time:7.x"])
def test_an_unknown_split_is_refused_by_name(made: Job, split: str) -> None:
    with pytest.raises(ConfigError, match=split.removeprefix("time:")):
        evaluate.run(made, split=split)


def test_a_split_after_the_last_event_is_refused(made: Job) -> None:
    with pytest.raises(DataError, match="no positive event"):
        evaluate.run(made, split="time:2100-01-01")


def test_a_store_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no event"):
        evaluate.split_time(new_job(tmp_path / "empty"))
