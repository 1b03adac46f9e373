from __future__ import annotations

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.settings import Settings, load
from recsys.training.search import (
    CUT,
    DONE,
    Choice,
    Integer,
    LogUniform,
    Trial,
    Uniform,
    best_of,
    default_space,
    point,
    read_space,
    settings_file,
    with_values,
)

SPACE = {
    "train.learning_rate": LogUniform(low=1e-4, high=1e-2),
    "train.dropout": Uniform(low=0.1, high=0.5),
    "model.n_half_lives": Integer(low=4, high=12),
    "train.stale_shares": Choice(values=((0.25,), (0.75,))),
}


def test_trial_zero_is_the_settings_as_they_stand() -> None:
    assert point(SPACE, seed=1, number=0) == {}


def test_a_trial_is_drawn_from_seed_and_number_alone() -> None:
    assert point(SPACE, 1, 5) == point(dict(reversed(SPACE.items())), 1, 5)
    assert point(SPACE, 1, 5) != point(SPACE, 1, 6)
    assert point(SPACE, 1, 5) != point(SPACE, 2, 5)


def test_every_domain_draws_all_of_its_range() -> None:
    drawn = [point(SPACE, 3, number) for number in range(1, 400)]
    rates = np.array([values["train.learning_rate"] for values in drawn])
    assert 1e-4 <= rates.min() < 2e-4
    assert 5e-3 < rates.max() <= 1e-2
    assert np.median(rates) == pytest.approx(1e-3, rel=0.3)  # of a uniform draw it were 5e-3
    assert {values["model.n_half_lives"] for values in drawn} == set(range(4, 13))
    assert {values["train.stale_shares"] for values in drawn} == {(0.25,), (0.75,)}
    assert all(0.1 <= values["train.dropout"] <= 0.5 for values in drawn)


def test_every_point_of_the_default_space_is_a_setting() -> None:
    for n_items in (100, 1_000_000):
        space = default_space(Settings(), n_items)
        for number in range(50):
            values = point(space, 7, number)
            found = with_values(Settings(), values)
            assert len(found.train.stale_shares) == 1
    assert "train.n_negatives" in space
    assert "train.n_negatives" not in default_space(Settings(), 100)


def test_what_a_model_does_not_use_is_not_searched() -> None:
    fixed = load(assignments=["model.learn_half_lives=false", "model.use_id=false"])
    space = default_space(fixed, 100)
    assert {"train.half_life_rate", "train.id_dropout"}.isdisjoint(space)


def test_the_file_of_a_trial_loads_as_its_settings(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = load(assignments=["encoder.n_dims=8", "interest.half_lives_s=[60, 3600]"])
    found = with_values(base, point(SPACE, 1, 4))
    path = tmp_path_factory.mktemp("settings") / "best.yaml"
    path.write_text(settings_file(found))
    assert load(path) == found
    assert "serving" not in path.read_text()
    path.write_text(settings_file(Settings()))
    assert load(path) == Settings()


def test_a_space_is_read_from_yaml() -> None:
    text = """
    train.learning_rate: {kind: log_uniform, low: 1.0e-4, high: 1.0e-2}
    model.n_half_lives: {kind: integer, low: 2, high: 6}
    train.history: {kind: choice, values: [strict, mixed]}
    """
    space = read_space(text, Settings())
    assert space["model.n_half_lives"] == Integer(low=2, high=6)
    assert with_values(Settings(), point(space, 1, 1)).model.n_half_lives in range(2, 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("{}", "empty"),
        ("train.dropout: 0.5", "cannot be read"),
        ("train.dropout: {kind: uniform, low: 0.5, high: 0.1}", "not below"),
        ("train.dropout: {kind: uniform, low: 0.5, high: 1.1}", "train.dropout = 1.1"),
        ("train.history: {kind: choice, values: [strict, any]}", "history"),
        ("train.drop: {kind: uniform, low: 0.1, high: 0.5}", "train.drop: is no setting"),
        ("serving.port: {kind: integer, low: 1, high: 5}", "serving.port: is no setting"),
        ("train.learning_rate: {kind: log_uniform, low: 0, high: 1}", "cannot be read"),
        ("train.dropout: {kind: choice, values: []}", "cannot be read"),
    ],
)
def test_a_space_that_cannot_be_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_space(text, Settings())


def test_the_best_trial_is_the_first_with_the_highest_point_of_its_curve() -> None:
    trials = [Trial(0, {}, (0.1, 0.3, 0.2)), Trial(1, {}, (0.3,)), Trial(2, {})]
    best = best_of(trials)
    assert best is not None
    assert (best.number, best.best_ndcg) == (0, 0.3)
    assert best_of([Trial(2, {})]) is None


def test_a_trial_survives_json() -> None:
    trial = Trial(3, {"train.dropout": 0.2}, (0.1, 0.2), DONE, "", 4.5)
    assert Trial.of(trial.as_dict()) == trial
    assert not Trial(4, {}, state=CUT).is_over
