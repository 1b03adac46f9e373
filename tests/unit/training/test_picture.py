from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from recsys.interest.model import ItemTable
from recsys.settings import Settings
from recsys.testing.models import random_interest
from recsys.training.picture import LATEST_S, Subject, picture
from recsys.training.picture_course import Course
from recsys.training.picture_graph import layout
from recsys.training.picture_readings import (
    examples,
    importances,
    later,
    profile_of,
    remaining,
    typical_events,
)
from recsys.training.sequences import user_rows
from tests.unit.graph.planted import graph
from tests.unit.training.logs import events, settings

COURSE = Course(
    history=[
        {"phase": "pilot", "stale_share": 0.0, "epoch": 1, "loss": 5.0, "ndcg": 0.1},
        {"phase": "pilot", "stale_share": 0.0, "epoch": 2, "loss": 4.0, "ndcg": 0.2},
        {"phase": "pilot", "stale_share": 0.5, "epoch": 1, "loss": 5.5, "ndcg": 0.3},
        {"phase": "refit", "epoch": 1, "loss": 4.5},
    ],
    quality={"ndcg10": 0.3, "stale_share": 0.5, "n_epochs": 1, "split": "<tail>"},
    tables={"Ablations": [{"model": "no trend", "ndcg10": {"mean": 0.2, "low": 0.1, "high": 0.3}}]},
)


def subject(rng: np.random.Generator, *more: str, n_items: int = 40) -> Subject:
    some = settings(
        "interest.half_lives_s=[20, 3600, 864000]", "interest.negative_half_lives_s=[86400]", *more
    )
    items = ItemTable(rng.normal(size=(n_items, 8)).astype(np.float32), np.arange(n_items) % 2 == 0)
    typical = typical_events(user_rows(events(rng), some), some.data.kinds)
    model = random_interest(some, rng)
    return Subject(model, some, items, typical, (60.0, 7200.0, 86400.0), (86400.0,))


def figures_of(page: str) -> list[dict[str, Any]]:
    text = page.split('<script id="figures" type="application/json">')[1].split(
        "</script>", maxsplit=1
    )[0]
    found: list[dict[str, Any]] = json.loads(text)
    return found


def titled(page: str, title: str) -> dict[str, Any]:
    return next(f for f in figures_of(page) if f["layout"]["title"]["text"] == title)


def test_the_picture_stands_alone_and_every_figure_is_sound_plotly(
    rng: np.random.Generator,
) -> None:
    page = picture(subject(rng), COURSE, "/* plotly */")
    assert "/* plotly */" in page and "http" not in page and "$" not in page
    assert "&lt;tail&gt;" in page and "<tail>" not in page
    assert "<td>no trend</td><td>0.2000 [0.1000, 0.3000]</td>" in page
    found = figures_of(page)
    assert len(found) == page.count("class='plot'") == 12
    for figure in found:
        go.Figure(figure)  # raises on any unknown property


def test_half_lives_stand_beside_where_they_began(rng: np.random.Generator) -> None:
    page = picture(subject(rng), COURSE, "")
    traces = {t.get("name"): t for t in titled(page, "Learned half-lives")["data"]}
    assert traces["learned"]["x"] == [20.0, 3600.0, 864000.0, 86400.0]
    assert traces["where it began"]["x"] == [60.0, 7200.0, 86400.0, 86400.0]
    assert traces["learned"]["text"] == ["20 s", "1 h", "10 d", "1 d"]


def test_half_lives_under_a_fixed_law_are_not_called_learned(rng: np.random.Generator) -> None:
    lives = "interest.negative_half_lives_s=[20, 3600, 864000]"
    page = picture(subject(rng, "model.kernel=power_law", lives), COURSE, "")
    assert "by one law: power law" in page
    (trace,) = titled(page, "Half-lives")["data"]
    assert (trace["name"], len(trace["x"])) == ("fixed", 6)
    assert len(figures_of(page)) == 12


def test_a_model_of_unknown_beginnings_and_history_is_drawn_all_the_same(
    rng: np.random.Generator,
) -> None:
    whole = subject(rng)
    nothing = typical_events(user_rows(events(rng), whole.settings).slice(0, 0), ())
    page = picture(Subject(whole.model, whole.settings, whole.items, nothing), Course(), "")
    assert "where it began" not in page and "<h2>Training</h2>" not in page
    assert "A typical user (0 events)" in page


def test_each_run_of_training_has_a_curve_of_its_own(rng: np.random.Generator) -> None:
    page = picture(subject(rng), COURSE, "")
    names = [trace["name"] for trace in titled(page, "Loss")["data"]]
    assert names == ["pilot, cutoffs 0", "pilot, cutoffs 0.5", "refit"]
    ndcg = titled(page, "NDCG@10 on the validation tail")["data"]
    assert [trace["y"] for trace in ndcg] == [[0.1, 0.2], [0.3]]


def _only(model_settings: Settings, rng: np.random.Generator, *kinds: str) -> Any:
    """A model that has met some kinds only."""
    model = random_interest(model_settings, rng)
    tensors = model.to_tensors()
    unmet = [n for n, kind in enumerate(model_settings.data.kinds) if kind not in kinds]
    tensors["event.kind.weight"][unmet] = 0.0
    return type(model).from_tensors(tensors, model_settings.interest, model_settings.data.kinds)


def test_importance_is_shown_of_kinds_that_training_met_and_of_each_rating(
    rng: np.random.Generator,
) -> None:
    some = subject(rng)
    model = _only(some.settings, rng, "rating", "dislike", "impression")
    interest, kinds = some.settings.interest, some.settings.data.kinds
    shown = examples(model, interest, kinds, some.typical)
    told = {example.label: example.is_negative for example in shown}
    assert told == {
        "dislike": True,
        "rating 1": True,
        "rating 2": True,
        "rating 3": False,
        "rating 4": False,
        "rating 5": False,
    }
    weight = importances(model, some.items, shown)
    vectors = some.items.vectors[some.items.warm]
    expected = model.importance_of(np.full(20, "rating", object), np.full(20, 5.0), vectors)
    np.testing.assert_allclose(weight[-1], expected.mean(axis=0), rtol=1e-5)


def test_one_event_is_half_gone_after_its_only_half_life() -> None:
    alone = remaining(np.array([0.0, 2.0], "f4"), [60.0, 3600.0], np.array([0.0, 3600.0]))
    np.testing.assert_allclose(alone, [1.0, 0.5])
    both = remaining(np.array([1.0, 1.0], "f4"), [60.0, 3600.0], np.array([0.0, 3600.0]))
    assert both[1] == pytest.approx(0.25, abs=1e-4)


def test_a_silent_user_is_read_as_the_model_reads_any_profile(rng: np.random.Generator) -> None:
    some = subject(rng)
    interest = some.settings.interest
    banks = profile_of(some.model, some.items, interest, some.settings.data.kinds, some.typical)
    gap = np.array([0.0, 3600.0, LATEST_S])
    found = later(some.model, some.items, interest, banks, gap)
    alone = some.model.query(banks, float(banks.t_ref[0]) + 3600.0)
    np.testing.assert_allclose(found.warm_trend[1], alone.warm_trend[0], rtol=1e-5)
    assert (np.diff(found.confidence, axis=0) <= 0).all() and found.confidence[0].max() > 0.5
    assert found.confidence[1, 0] == pytest.approx(0.0, abs=1e-6)  # 180 half-lives of 20 s


def test_the_typical_user_has_the_median_number_of_events(rng: np.random.Generator) -> None:
    some = settings()
    rows = user_rows(events(rng, n_users=9, n_events=11), some)
    found = typical_events(rows, some.data.kinds)
    assert len(found.item) == 11 and set(found.kind) <= {"rating", "click", "dislike"}
    assert np.isfinite(found.value[found.kind == "rating"]).all()


def test_the_interests_are_drawn_by_mass_and_name(rng: np.random.Generator) -> None:
    page = picture(subject(rng), COURSE, "", graph())
    drawn = titled(page, "The interest graph")
    go.Figure(drawn)
    nodes = drawn["data"][-1]
    assert nodes["text"] == [one.label for one in graph().labels]
    sizes = np.array(nodes["marker"]["size"])
    assert sizes.argmax() == graph().mass.argmax() and len(drawn["data"]) > 1
    assert "The interest graph" not in picture(subject(rng), COURSE, "")


def test_a_layout_keeps_nodes_apart_and_inside_and_is_always_the_same(
    rng: np.random.Generator,
) -> None:
    centres = np.repeat(rng.normal(size=(6, 4)), 2, axis=0).astype(np.float32)
    at = layout(centres, np.zeros((12, 12)))
    apart = np.linalg.norm(at[:, None] - at[None], axis=2) + np.eye(12)
    assert np.abs(at).max() <= 1.0 + 1e-9 and apart.min() > 0.02
    np.testing.assert_array_equal(at, layout(centres, np.zeros((12, 12))))
    assert layout(centres[:1], np.zeros((1, 1))).tolist() == [[0.0, 0.0]]
