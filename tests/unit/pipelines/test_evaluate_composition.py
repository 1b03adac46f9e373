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
from recsys.evaluation.composition import ENCODER, FULL
from recsys.settings import load
from tests.unit.evaluation.test_protocol import SETTINGS, Log


def test_every_source_and_step_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(_: str, score: Any, stage: Any, asked: Any, arguments: Any) -> Any:
        return score(stage, asked, *arguments)

    monkeypatch.setattr(evaluate_composition, "scatter", here)
    monkeypatch.setattr(evaluate_composition.ray, "put", lambda value: value)
    log = Log()
    steps = load(assignments=["reranking.steps=[caps, mmr]", "reranking.caps.per_category=1"])
    settings = SETTINGS.model_copy(update={"reranking": steps.reranking})
    known = (log.events, log.positive, log.scene, log.touches, settings)
    past = Past(SimpleNamespace(graph=None, ranker=None), log.catalog, *known)  # type: ignore[arg-type]
    split = Split("time:0.8", log.start)
    found = measure_composition(past, split, log.queries, 5, {"interest": 20, "trend": 20})
    variants = json.loads(json.dumps(found))["variants"]
    assert {ENCODER, FULL, "without source trend", "without step caps"} <= set(variants)
    assert variants[FULL]["diversity"] > variants[ENCODER]["diversity"]
    assert found["diversity_gain_at_1pct"]["mmr"] >= 0.0
    assert len(found["curves"]["dpp"]) == 9
    assert found["fitted_fatigue"] is None  # nobody was shown anything
    fitted = found["fitted_sources"]
    assert set(fitted["quotas"]) == {"interest", "trend"}
    assert 0.0 < fitted["found"] <= 1.0


def test_impressions_of_a_log_tell_the_discount() -> None:
    log = Log()
    kind = np.where(np.arange(len(log.events)) % 3 > 0, "impression", log.events.kind)
    events = replace(log.events, kind=kind.astype(object))
    known = (events, log.positive, log.scene, log.touches, SETTINGS)
    past = Past(None, log.catalog, *known)  # type: ignore[arg-type]
    found = evaluate_composition._fatigue(past, log.start)
    assert found is not None and found["discount"] >= 0.0
    assert found["n_impressions"] == (events.ts[kind == "impression"] < log.start).sum()
