from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.errors import DataError
from recsys.training.export import exported
from recsys.training.fitting import Material, fit
from recsys.training.learner import Learner
from recsys.training.sequences import pack
from tests.unit.training.logs import catalog, events, settings, text_vectors
from tests.unit.training.towers import TEXTS, save_models, tower_on


def learner(rng: np.random.Generator, *more: str) -> tuple[Learner, Material]:
    some = settings(*more)
    made = Material.of(events(rng), catalog(), text_vectors(rng), some)
    return Learner(made.log, some, 40, seed=3), made


def test_the_loss_falls(rng: np.random.Generator) -> None:
    mine, made = learner(rng)
    runs = pack(made.rows)
    losses = [mine.step(runs)["loss"] for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])


def test_a_restored_learner_goes_on_as_the_first_one(rng: np.random.Generator) -> None:
    one, made = learner(rng)
    other, _ = learner(np.random.default_rng(99))
    other.surroundings = one.surroundings
    other = Learner(made.log, one.settings, 40, seed=8)
    runs = pack(made.rows)
    for _ in range(4):
        one.step(runs)
    state = {name: value.clone() for name, value in one.state().items()}
    expected = [one.step(runs)["loss"] for _ in range(3)]
    other.restore(state)
    assert [other.step(runs)["loss"] for _ in range(3)] == pytest.approx(expected, rel=1e-6)


def test_a_restored_learner_draws_on_where_half_a_word_was_left(rng: np.random.Generator) -> None:
    some = settings()
    made = Material.of(events(rng), catalog(), text_vectors(rng), some)
    first, second = (Learner(made.log, some, 20, seed=seed) for seed in (1, 2))
    first.step(pack(made.rows))  # a checkpoint of Adam's moments needs a step
    if first.maker.rng.bit_generator.state["has_uint32"] == 0:
        first.maker.rng.integers(0, 1 << 32, 1, dtype=np.uint32)  # leaves half a word for the next
    assert first.maker.rng.bit_generator.state["has_uint32"] == 1
    second.restore({name: value.clone() for name, value in first.state().items()})
    assert second.maker.rng.bit_generator.state == first.maker.rng.bit_generator.state


def test_a_loss_that_is_not_finite_is_named(rng: np.random.Generator) -> None:
    mine, made = learner(rng)
    with torch.no_grad():
        mine.network.readout.norm_out.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="diverged"):
        mine.step(pack(made.rows))


def test_fit_learns_an_order_that_popularity_cannot_see(rng: np.random.Generator) -> None:
    some = settings("train.n_epochs=12", "train.dropout=0.0")
    log = events(rng, n_users=60, n_events=25)
    found = fit(log, catalog(), text_vectors(rng), some)
    pilot = [figures for figures in found.history if figures["phase"] == "pilot"]
    assert found.best["ndcg"] == max(figures["ndcg"] for figures in pilot)
    assert found.best["ndcg"] > 2 * pilot[0]["ndcg"] or found.best["ndcg"] > 0.4
    assert len([f for f in found.history if f["phase"] == "fit"]) == found.best["n_epochs"]
    assert found.exported.vectors.shape == (40, 8)


def test_without_a_refit_the_best_network_of_the_pilot_is_the_model(
    rng: np.random.Generator,
) -> None:
    log, text = events(rng, n_users=60), text_vectors(rng)
    some = settings("train.refit=false", "train.n_epochs=12", "train.learning_rate=0.05")
    found = fit(log, catalog(), text, some)
    assert {figures["phase"] for figures in found.history} == {"pilot"}
    best = found.best["n_epochs"]
    assert 0 < best < len(found.history)
    there = fit(log, catalog(), text, some, lambda figures: bool(figures["epoch"] == best))
    assert len(there.history) == best
    np.testing.assert_array_equal(found.exported.vectors, there.exported.vectors)


def test_the_same_seed_gives_the_same_model(rng: np.random.Generator) -> None:
    log, text, some = events(rng), text_vectors(rng), settings("train.n_epochs=2")
    one, other = (fit(log, catalog(), text, some).exported for _ in range(2))
    np.testing.assert_array_equal(one.vectors, other.vectors)


def test_items_without_any_text_are_learned_by_id_alone(rng: np.random.Generator) -> None:
    found = fit(events(rng), catalog(), None, settings("train.n_epochs=2"))
    assert np.any(found.exported.vectors != 0.0)
    assert not found.exported.projection.weight.any()


def test_a_log_without_positives_is_refused(rng: np.random.Generator) -> None:
    log = events(rng)
    log.kind[:] = "dislike"
    with pytest.raises(DataError, match="no positive event"):
        fit(log, catalog(), None, settings())


def test_users_of_one_event_and_one_instant_are_trained_on(rng: np.random.Generator) -> None:
    log = events(rng, n_users=40, n_events=1)
    log.ts[:] = 1.7e9
    log.kind[:] = "click"
    found = fit(log, catalog(), text_vectors(rng), settings("train.n_epochs=1"))
    assert np.isfinite(found.exported.vectors).all()


def test_one_user_alone_is_trained_on(rng: np.random.Generator) -> None:
    log = events(rng, n_users=1, n_events=200)
    found = fit(log, catalog(), text_vectors(rng), settings("train.n_epochs=1"))
    assert np.isfinite(found.exported.vectors).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_count_as_none(rng: np.random.Generator, wrong: float) -> None:
    log = events(rng)
    log.value[:] = np.where(rng.random(len(log.value)) < 0.5, wrong, log.value)
    found = fit(log, catalog(), text_vectors(rng), settings("train.n_epochs=1"))
    assert np.isfinite(found.exported.vectors).all()
    log.value[:] = wrong
    mine = fit(log, catalog(), text_vectors(rng), settings("train.n_epochs=1"))
    assert all(np.isfinite(figures["loss"]) for figures in mine.history)


def test_half_lives_driven_to_nothing_and_beyond_all_bounds_still_train(
    rng: np.random.Generator,
) -> None:
    mine, made = learner(rng)
    with torch.no_grad():
        mine.network.log_half_life_s.copy_(torch.tensor([-2_000.0, 2_000.0, 8.0, -2_000.0]))
    assert np.isfinite([mine.step(pack(made.rows))["loss"] for _ in range(3)]).all()


def test_the_language_model_learns_from_behaviour(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    some = settings("train.stage=full", "train.text_learning_rate=0.003", "train.n_text_rows=64")
    model = tower_on(save_models(tmp_path)["encoder"], stage="full")
    log = events(rng, n_items=len(TEXTS))
    text = model.table().numpy()
    made = Material.of(log, catalog(len(TEXTS)), text, some)
    mine = Learner(made.log, some, 40, seed=3, language=model)
    before = {name: weight.clone() for name, weight in model.trained().items()}
    runs = pack(made.rows)
    losses = [mine.step(runs)["loss"] for _ in range(25)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    changed = [name for name, weight in model.trained().items() if not weight.equal(before[name])]
    assert len(changed) > len(before) / 2
    mine.refresh()
    ready = exported(mine.network, made.log, some)
    assert not np.allclose(model.table().numpy(), text, atol=1e-3)
    base = ready.projection.weight @ model.table().numpy()[1] + ready.projection.offset
    assert ready.vectors.shape == (len(TEXTS), 8) and np.isfinite(base).all()
    state = {name: value.clone() for name, value in mine.state().items()}
    twin = tower_on(tmp_path / "encoder", stage="full")
    other = Learner(made.log, some, 40, seed=4, language=twin)
    other.restore(state)
    np.testing.assert_allclose(twin.table().numpy(), model.table().numpy(), atol=1e-5)
