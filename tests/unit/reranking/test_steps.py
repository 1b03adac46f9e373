"""What all steps have in common, whatever they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recsys.reranking
from recsys.errors import ConfigError
from recsys.reranking.base import Ranked
from recsys.reranking.options import RerankingSettings, step_names
from recsys.reranking.registry import steps_of
from recsys.settings import load
from tests.unit.reranking.worlds import asked_of, evidence_of, ranked_of, shelf_of

STRONG = RerankingSettings.model_validate(
    {
        "fatigue": {"discount": 0.7},
        "freshness": {"lift": 2.0},
        "caps": {"per_category": 3, "per_provider": 4, "provider": "brand"},
        "calibrate": {"weight": 0.8},
        "mmr": {"diversity": 0.6},
        "dpp": {"diversity": 0.6},
        "swap": {"cost": 0.5},
        "sample": {"temperature": 1.0, "n_pool": 30},
    }
)


def applied(names: tuple[str, ...], ranked: Ranked, seed: int = 3, k: int = 10) -> Ranked:
    rng = np.random.default_rng(seed)
    shelf = shelf_of(rng)
    asked = asked_of(shelf, evidence_of(shelf, rng), seed=seed)
    for step in steps_of(STRONG.model_copy(update={"steps": names})):
        ranked = step.apply(ranked, asked, k)
    return ranked


@pytest.mark.parametrize("name", step_names())
@pytest.mark.parametrize("n", [0, 1, 7, 60])
def test_a_step_returns_what_it_was_given_in_another_order(name: str, n: int) -> None:
    for seed in range(5):
        before = ranked_of(np.random.default_rng(seed), 60, n)
        after = applied((name,), before, seed)
        assert len(set(after.rows.tolist())) == len(after.rows)
        assert set(after.rows) <= set(before.rows)
        if name != "caps":
            assert len(after) >= min(10, n)
        found_by = dict(zip(before.rows.tolist(), before.found_by.tolist(), strict=True))
        assert [found_by[row] for row in after.rows.tolist()] == after.found_by.tolist()
        whole = sum((values.astype(np.float64) for values in after.parts.values()), np.zeros(1))
        np.testing.assert_allclose(after.scores, whole if n else after.scores, atol=1e-5)


@pytest.mark.parametrize("name", step_names())
def test_a_step_changes_something_when_it_is_strong(name: str) -> None:
    before = ranked_of(np.random.default_rng(1), 60)
    assert not np.array_equal(applied((name,), before).rows[:10], before.rows[:10])


def test_all_steps_go_one_after_the_other() -> None:
    before = ranked_of(np.random.default_rng(1), 60)
    after = applied(step_names(), before)
    assert len(after) <= 10 and after.log_propensity is not None
    assert {"fatigue", "freshness"} <= set(after.parts)


def test_every_section_is_a_step_and_every_file_a_section() -> None:
    names = step_names()
    assert [step.name for step in steps_of(RerankingSettings(steps=names))] == list(names)
    folder = Path(recsys.reranking.__path__[0])
    files = {p.stem for p in folder.glob("*.py") if "\nSTEP = " in p.read_text(encoding="utf-8")}
    assert files == set(names)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("[mmr, mrr]", "mrr is no rerank step; there are fatigue"),
        ("[mmr, mmr]", "named twice"),
        ("[mmr, freshness]", "freshness changes the scores: it must stand before mmr"),
        ("[sample, caps]", "caps changes the order: it must stand before sample"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(assignments=[f"reranking.steps={steps}"])
    assert said in str(caught.value)


def test_who_asks_for_diversity_gets_a_step_for_it() -> None:
    def steps(*names: str) -> tuple[str, ...]:
        return RerankingSettings(steps=names).with_diversity().steps

    assert steps("caps", "sample") == ("caps", "mmr", "sample")
    assert steps("dpp") == ("dpp",)
