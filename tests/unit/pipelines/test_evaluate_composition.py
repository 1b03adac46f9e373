"""The composition on a record, without Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines import evaluate_composition
from pipelines.evaluate_composition import measure_composition
from pipelines.past import Past
from pipelines.splits import Split
from recsys.evaluation.composition import ENCODER, FULL, RANKER
from recsys.evaluation.report_composition import composition_section
from recsys.ranker.calibration import Calibration
from recsys.ranker.model import Ranker
from recsys.ranker.options import RankerSettings
from recsys.settings import load
from tests.unit.evaluation.test_protocol import SETTINGS, Log


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What is measured of everything at once, without Ray."""

    def here(_: str, score: Any, stage: Any, asked: Any, arguments: Any) -> Any:
        return score(stage, asked, *arguments)

    log = Log()
    ranker = Ranker(
        {"long_taste": 0.3, "age": 0.0},
        RankerSettings(features=("long_taste", "age")),
        calibration=Calibration(2.0, 0.5, -1.0),
    )
    steps = load(assignments=["reranking.steps=[caps, mmr]", "reranking.caps.per_category=1"])
    settings = SETTINGS.model_copy(update={"reranking": steps.reranking})
    known = (log.events, log.positive, log.scene, log.touches, settings)
    bundle = SimpleNamespace(graph=None, ranker=ranker, catalog=log.catalog)
    past = Past(bundle, log.catalog, *known)  # type: ignore[arg-type]
    split = Split("time:0.8", log.start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate_composition, "scatter", here)
        patch.setattr(evaluate_composition.ray, "put", lambda value: value)
        whole = measure_composition(past, split, log.queries, 5, {"interest": 20, "trend": 20})
    return dict(json.loads(json.dumps(whole)))


def test_every_source_and_step_is_measured(found: dict[str, Any]) -> None:
    variants = found["variants"]
    assert {ENCODER, FULL, "without source trend", "without step caps"} <= set(variants)
    assert variants[FULL]["diversity"] > variants[ENCODER]["diversity"]
    assert found["diversity_gain_at_1pct"]["mmr"] >= 0.0
    assert len(found["curves"]["dpp"]) == 9
    assert found["fitted_fatigue"] is None  # nobody was shown anything
    fitted = found["fitted_sources"]
    assert set(fitted["quotas"]) == {"interest", "trend"}
    assert 0.0 < fitted["found"] <= 1.0


def test_the_ranking_model_is_measured_with_and_without_each_feature(found: dict[str, Any]) -> None:
    variants = found["variants"]
    assert {RANKER, "without ranker", "without feature long_taste"} <= set(variants)
    assert "without feature age" not in variants
    assert variants["without feature long_taste"]["less_first"]["mean"] == 0.0
    assert variants[RANKER]["exposure"] != variants[ENCODER]["exposure"]


def test_chances_and_categories_are_told_and_drawn(found: dict[str, Any]) -> None:
    assert found["chances"]["raw"]["bins"] != found["chances"]["calibrated"]["bins"]
    assert sum(one["n"] for one in found["chances"]["raw"]["bins"]) > 0
    shares = found["categories"]
    assert set(shares) == {"catalog", "chosen", ENCODER, RANKER, FULL}
    assert all(sum(share.values()) == pytest.approx(1.0) for share in shares.values())
    title, told = composition_section(found)
    assert title == "Composition" and len(told) == 6
    assert composition_section(None) == ("Composition", [])


def test_impressions_of_a_log_tell_the_discount() -> None:
    log = Log()
    kind = np.where(np.arange(len(log.events)) % 3 > 0, "impression", log.events.kind)
    events = replace(log.events, kind=kind.astype(object))
    known = (events, log.positive, log.scene, log.touches, SETTINGS)
    past = Past(None, log.catalog, *known)  # type: ignore[arg-type]
    found = evaluate_composition._fatigue(past, log.start)
    assert found is not None and found["discount"] >= 0.0
    assert found["n_impressions"] == (events.ts[kind == "impression"] < log.start).sum()
