"""How many items each source should bring."""

from __future__ import annotations

import numpy as np

from recsys.evaluation.composition import Stage, with_histories
from recsys.evaluation.quotas import answer_places, fit_quotas, found_share
from recsys.shelf import Shelf
from tests.unit.evaluation.test_protocol import SETTINGS, Log

FAR = 1_000


def test_the_budget_goes_to_what_finds_answers() -> None:
    good = np.arange(60) % 40
    far = np.full(60, FAR)
    twice = np.stack([good, far, good], axis=1)  # the third finds what the first has found
    assert fit_quotas(twice, 200, FAR).tolist() in ([40, 0, 0], [0, 0, 40])
    assert fit_quotas(twice, 20, FAR).sum() == 20
    assert found_share(twice, np.array([40, 0, 0])) == 1.0


def test_sources_that_complete_each_other_share_the_budget() -> None:
    one = np.where(np.arange(100) < 50, np.arange(100) % 20, FAR)
    other = np.where(np.arange(100) < 50, FAR, np.arange(100) % 80)
    quotas = fit_quotas(np.stack([one, other], axis=1), 100, FAR)
    assert quotas.tolist() == [20, 80]


def test_a_source_with_answers_only_deep_down_is_not_given_up() -> None:
    assert fit_quotas(np.full((30, 1), 95), 400, FAR).tolist() == [160]
    assert fit_quotas(np.full((30, 1), FAR), 400, FAR).tolist() == [0]


def test_places_of_answers_are_those_of_the_sources() -> None:
    log = Log()
    scene = log.scene
    shelf = Shelf(log.catalog, scene.items, scene.model, SETTINGS.interest, SETTINGS.trend)
    stage = Stage(scene, shelf)
    asked = with_histories(log.new(), log.events, SETTINGS.interest, SETTINGS.data)
    found = answer_places(stage, asked, ["interest", "trend", "fresh"], 60)
    assert np.all(found[:, 2] == 60)  # the model gives age no weight
    had = found[:, :2] < 60
    assert had.all(axis=1).mean() > 0.9 and len({tuple(row) for row in found.tolist()}) > 5
