from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go

from recsys.catalog import catalog_from_items
from recsys.evaluation.lives import interests_over_time, most_active
from recsys.evaluation.metrics import ACCURACY
from recsys.evaluation.protocol import OURS
from recsys.evaluation.report import render
from recsys.evaluation.split import time_queries
from recsys.events import event_arrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import DAY_S, InterestSettings, TrendSettings
from recsys.shelf import Shelf
from recsys.testing.fakes import tiny_items, tiny_log

INTEREST, TREND = InterestSettings(), TrendSettings()


def _lives() -> list[dict[str, Any]]:
    catalog = catalog_from_items(tiny_items({"a": "jazz one", "b": "jazz two", "c": "rock one"}))
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    model = ZeroShot(INTEREST, default_weights(INTEREST, TREND))
    shelf = Shelf(catalog, ItemTable.all_warm(vectors), model, INTEREST, TREND)
    rows = [("u", "a", "like", 1e9), ("u", "c", "click", 1e9 + 9 * DAY_S), ("v", "c", "like", 1e9)]
    events = event_arrays(tiny_log(rows), catalog.index)
    queries = time_queries(events, np.ones(3, bool), 0)
    return interests_over_time(events, most_active(queries, 1), shelf)


def _report() -> dict[str, Any]:
    spread = {"mean": 0.2, "low": 0.1, "high": 0.3}
    systems = {
        name: dict.fromkeys(ACCURACY, spread) for name in (OURS, "popular-7-days", "trend-only")
    }
    part = {
        "k": 10,
        "n_queries": 1234,
        "n_users": 99,
        "systems": systems,
        "comparisons": {name: {**spread, "p": 0.01} for name in systems if name != OURS},
    }
    ndcg = {name: {"mean": 0.2, "low": 0.1, "high": 0.3} for name in systems}
    row = {"label": "0 events", "n_queries": 7, "systems": ndcg}
    return {
        "k": 10,
        "ndcg10": 0.2,
        "popular_best": "popular-7-days",
        "popular_best_ndcg10": 0.2,
        "bundle_id": "<b>",
        "split": {"name": "time:0.8", "start": 1e9},
        "new": part,
        "repeats": part,
        "strata": {"activity": [row], "popularity": [row]},
        "slates": {name: {"coverage": 0.5} for name in systems},
        "weights": {"interest": [1.0, 2.0], "negative": [], "trend": [3.0]},
        "half_lives_s": {"interest": [3600.0, DAY_S], "negative": [], "trend": [DAY_S]},
        "lives": _lives(),
    }


def test_the_report_stands_alone_and_escapes_what_it_shows() -> None:
    page = render(_report(), "/* plotly */")
    assert "/* plotly */" in page
    assert "http" not in page
    assert "<b>" not in page.replace("<div class='card'><b>", "")
    assert "1,234 of 99 users" in page


def test_every_figure_of_the_report_is_sound_plotly() -> None:
    page = render(_report(), "")
    text = page.split('<script id="figures" type="application/json">')[1].split("</script>")[0]
    figures = json.loads(text)
    assert len(figures) == page.count("class='plot'") == 6
    for figure in figures:
        go.Figure(figure)  # raises on any unknown property


def test_a_learned_model_has_half_lives_of_its_own_and_no_fixed_weights() -> None:
    page = render({**_report(), "model": "learned"}, "")
    assert "<td>interest</td><td>1 h, 1 d</td>" in page
    assert "Weight of each half-life" not in page


def test_a_report_without_repeats_leaves_the_section_out() -> None:
    page = render({**_report(), "repeats": None}, "")
    assert "<h2>Repeats</h2>" not in page


def test_predicted_ratings_stand_in_the_report_where_there_are_some() -> None:
    spread = {"mean": 0.97, "low": 0.9, "high": 1.0}
    systems = {name: {"rmse": spread, "mae": spread} for name in ("damped-bias", "running-mean")}
    ratings = {"n_ratings_drawn": 1234, "systems": systems}
    page = render({**_report(), "ratings": ratings}, "")
    assert "<h2>Predicted ratings</h2><p>1,234 ratings" in page
    assert page.count("0.9700 [0.9000, 1.0000]") == 4
    assert "<h2>Predicted" not in render({**_report(), "ratings": None}, "")


def test_interests_follow_the_user_and_the_query_shrinks_after_the_last_event() -> None:
    (life,) = _lives()
    assert life["n_events"] == 2
    assert life["categories"]["jazz"][0] == 1.0
    assert life["categories"]["jazz"][-1] < 1.0
    last = int(np.searchsorted(life["ts"], life["last_event"]))
    assert life["length"][-1] < life["length"][last]
