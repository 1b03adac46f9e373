from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys.decay.bank import MAX_ERROR
from recsys.interest import mixture, stored
from recsys.interest.model import Banks, FoldBatch, ItemTable, split_banks
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import half_lives_passed
from recsys.ranking import RankingWeights
from recsys.settings import DAY_S
from recsys.training.export import Exported, exported
from recsys.training.fitting import Material, fit
from recsys.training.kernel_bank import LAWS, Mixture, bank_of, horizon_of, kernel_bank
from recsys.training.learner import Learner
from recsys.training.placing import Placement
from recsys.training.sequences import pack
from tests.unit.training.logs import catalog, events, settings, text_vectors

NAMES = tuple(LAWS)


def trained(
    kernel: str, rng: np.random.Generator, n_steps: int = 5, compiled: bool = True
) -> tuple[Learner, Material, Exported]:
    some = settings(f"model.kernel={kernel}")
    made = Material.of(events(rng), catalog(), text_vectors(rng), some)
    learner = Learner(made.log, some, 20, seed=1, placement=Placement("cpu", compiled))
    for _ in range(n_steps):
        learner.step(pack(made.rows))
    return learner, made, exported(learner.network, made.log, some)


@pytest.mark.parametrize("kernel", NAMES)
@pytest.mark.parametrize("half_s", [100.0, DAY_S])
@pytest.mark.parametrize("horizon_s", [7 * DAY_S, 3_650 * DAY_S])
@pytest.mark.parametrize("fewest", [1, 8, 20])
def test_a_law_is_followed_to_a_hundredth_by_weights_that_add_up_to_one(
    kernel: str, half_s: float, horizon_s: float, fewest: int
) -> None:
    bank, law = bank_of(kernel, half_s, horizon_s, fewest), LAWS[kernel](half_s)
    assert bank.max_error(law, horizon_s) <= MAX_ERROR
    assert bank.weights.sum() == pytest.approx(1.0)
    assert bank.weights.min() > 0.0 and np.all(np.diff(bank.half_lives_s) > 0.0)
    assert float(law(np.array([half_s]))[0]) == pytest.approx(0.5)
    assert len(bank.weights) <= max(fewest, 14)


def test_the_time_scale_is_that_of_the_logs_own_gaps(rng: np.random.Generator) -> None:
    some = settings("model.kernel=hyperbolic")
    log = Material.of(events(rng), catalog(), text_vectors(rng), some).log
    bank = kernel_bank(log, some.model)
    assert bank is not None
    middle = np.sqrt(log.half_lives_s[0] * log.half_lives_s[-1])
    assert float(bank.weight(middle)) == pytest.approx(0.5, abs=MAX_ERROR)
    assert horizon_of(log) >= log.last_ts - log.first_ts
    assert kernel_bank(log, settings().model) is None


@pytest.mark.parametrize("kernel", NAMES)
def test_a_profile_forgets_by_the_law(kernel: str, rng: np.random.Generator) -> None:
    _, made, ready = trained(kernel, rng)
    log, kinds = events(rng, n_users=3), settings().data.kinds
    items = ItemTable(ready.vectors, ready.warm)
    batch = FoldBatch(log.item, log.ts, log.kind, log.value)
    table = ProfileTable(items.n_dims, ready.interest, kinds)
    rows = table.rows(log.user_ids, create=True)
    order = rng.permutation(len(log.ts))
    table.fold(rows[log.user[order]], batch.pick(order), ready.model, items)
    banks, n = table.banks(rows), len(ready.interest.half_lives_s)
    law = mixture.Mixture(ready.model.to_tensors()["mixture.weights"])
    as_of = float(log.ts.max()) + 3_600.0
    lives = (*ready.interest.half_lives_s, *ready.interest.negative_half_lives_s)
    sums = np.concatenate([banks.sums, banks.negative_sums], axis=1)
    mass = np.concatenate([banks.mass, banks.negative_mass], axis=1)
    sums, mass, left = law.as_one(sums, mass, half_lives_passed(as_of - banks.t_ref, lives))
    evidence = ready.model.evidence(batch, items)
    half_s = np.exp(np.mean(np.log(made.log.half_lives_s)))
    exact = np.asarray(LAWS[kernel](half_s)(as_of - log.ts))
    for bank, part in enumerate((slice(None, n), slice(n, None))):
        importance = evidence.importance[:, part].sum(axis=1)
        for user in range(3):
            mine = log.user == user
            slack = float(0.011 * importance[mine].sum() + 1e-6)
            now = (importance * exact)[mine]
            assert mass[user, bank] * left[user, bank] == pytest.approx(now.sum(), abs=slack)
            if mass[user, bank] > 0.0:
                mean = sums[user, bank] / mass[user, bank]
                found = mean * mass[user, bank] * left[user, bank]
                np.testing.assert_allclose(found, now @ evidence.values[mine], atol=slack)


@pytest.mark.parametrize("kernel", NAMES)
def test_training_reads_the_kernel_and_leaves_its_half_lives_alone(
    kernel: str, rng: np.random.Generator
) -> None:
    learner, made, _ = trained(kernel, rng, n_steps=0)
    losses = [learner.step(pack(made.rows))["loss"] for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.98 * np.mean(losses[:5])
    ready = exported(learner.network, made.log, learner.settings)
    bank = kernel_bank(made.log, learner.settings.model)
    assert bank is not None
    np.testing.assert_allclose(ready.interest.half_lives_s, bank.half_lives_s, rtol=1e-5)
    np.testing.assert_allclose(ready.interest.negative_half_lives_s, bank.half_lives_s, rtol=1e-5)
    np.testing.assert_allclose(ready.model.to_tensors()["mixture.weights"], bank.weights, rtol=1e-6)


def test_each_law_learns_another_model(rng: np.random.Generator) -> None:
    log, text = events(rng), text_vectors(rng)
    found = {
        kernel: fit(log, catalog(), text, settings("train.n_epochs=1", f"model.kernel={kernel}"))
        for kernel in ("exponential", *NAMES)
    }
    vectors = [f.exported.vectors for f in found.values()]
    assert not any(np.allclose(vectors[a], vectors[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert "mixture.weights" not in found["exponential"].exported.model.to_tensors()


@pytest.mark.parametrize("kernel", NAMES)
def test_a_bundle_says_which_law_it_was_trained_under(
    kernel: str, rng: np.random.Generator
) -> None:
    _, _, ready = trained(kernel, rng)
    some = settings(f"model.kernel={kernel}").model_copy(update={"interest": ready.interest})
    files, none = stored.tensor_files(ready.model, None), np.zeros(0, np.float32)
    back = stored.model_of(files, RankingWeights(none, none, none), some)
    banks = _some_banks(ready, rng)
    for mine, theirs in zip(ready.model.query(banks, 2e9), back.query(banks, 2e9), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_network_reads_a_mixture_as_serving_does(rng: np.random.Generator) -> None:
    bank = bank_of("power_law", 3_600.0, 90 * DAY_S, 4)
    n = len(bank.weights)
    sums = rng.normal(size=(5, 2 * n, 3)).astype(np.float32)
    mass, passed = rng.random((2, 5, 2 * n)).astype(np.float32)
    mass[0], sums[0] = 0.0, 0.0
    theirs = mixture.Mixture(bank.weights.astype(np.float32))
    given = [torch.from_numpy(x).requires_grad_() for x in (sums, mass, passed)]
    mine = Mixture(bank).as_one(*given)
    for one, other in zip(mine, theirs.as_one(sums, mass, passed), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(sum(part.sum() for part in mine), given)
    assert all(bool(gradient.isfinite().all()) for gradient in found)
    both = rng.random((4, 2)).astype(np.float32)
    spread = theirs.importance(both)
    np.testing.assert_allclose(Mixture(bank).importance(torch.from_numpy(both)), spread, rtol=1e-6)
    np.testing.assert_allclose(spread[:, :n].sum(axis=1), both[:, 0], rtol=1e-5)


@pytest.mark.parametrize("kernel", NAMES)
def test_tensor_operations_train_the_same_under_a_law(
    kernel: str, rng: np.random.Generator
) -> None:
    models = [
        trained(kernel, np.random.default_rng(3), n_steps=3, compiled=compiled)[2]
        for compiled in (True, False)
    ]
    banks = _some_banks(models[0], rng)
    one, other = (model.model.query(banks, 2e9) for model in models)
    np.testing.assert_allclose(one.vectors, other.vectors, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(models[0].vectors, models[1].vectors, rtol=0.02, atol=1e-3)


def _some_banks(ready: Exported, rng: np.random.Generator) -> Banks:
    n, n_dims = len(ready.interest.half_lives_s), ready.vectors.shape[1]
    mass = rng.random((6, 2 * n)).astype(np.float32)
    unit = rng.normal(size=(6, 2 * n, n_dims)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    return split_banks(unit * mass[..., None], mass, np.full(6, 2e9 - 3_600.0), n)
