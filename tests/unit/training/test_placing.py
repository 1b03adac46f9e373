"""The form of training that a GPU takes, taken here on a CPU, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.training import network as network_module
from recsys.training.export import Exported, exported
from recsys.training.fitting import Material
from recsys.training.learner import Learner
from recsys.training.placing import Placement
from recsys.training.sequences import pack
from recsys.training.validation import Validation
from tests.unit.training.logs import catalog, events, settings, text_vectors
from tests.unit.training.towers import TEXTS, save_models, tower_on

PLAIN = "cpu, by tensor operations"
STILL = ("train.dropout=0", "train.id_dropout=0")
"""Without draws, which differ from device to device."""


def material(rng: np.random.Generator, *more: str) -> Material:
    return Material.of(events(rng), catalog(), text_vectors(rng), settings(*more))


def learner(made: Material, *more: str, on: str = "cpu") -> Learner:
    placement = Placement("cpu", compiled=False) if on == PLAIN else Placement(on)
    return Learner(made.log, settings(*more), 40, seed=3, placement=placement)


def gradients(mine: Learner, made: Material) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a first step."""
    batch = mine.maker.training(pack(made.rows))
    assert batch is not None
    torch.manual_seed(1)  # of the dropout
    mine.network.train()
    loss, _ = mine.network(mine.placement.moved(batch))
    loss.backward()
    named = mine.network.named_parameters()
    return float(loss.detach()), {n: p.grad.cpu() for n, p in named if p.grad is not None}


def losses(mine: Learner, made: Material, n_steps: int) -> list[float]:
    """Of some steps, whose dropout is drawn anew from equal seeds."""
    torch.manual_seed(2)
    return [mine.step(pack(made.rows))["loss"] for _ in range(n_steps)]


def assert_same_model(one: Exported, other: Exported, rtol: float = 1e-3) -> None:
    np.testing.assert_allclose(one.vectors, other.vectors, rtol, 1e-4)
    np.testing.assert_allclose(one.interest.half_lives_s, other.interest.half_lives_s, rtol)
    np.testing.assert_allclose(one.projection.weight, other.projection.weight, rtol, 1e-4)
    assert one.transitions is not None and other.transitions is not None
    assert one.transitions.strength == pytest.approx(other.transitions.strength, rel=rtol)
    theirs = other.model.to_tensors()
    for name, tensor in one.model.to_tensors().items():
        np.testing.assert_allclose(tensor, theirs[name], rtol, 1e-4, err_msg=name)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("model.n_queries=3", "model.use_transitions=false", "train.targets=all"),
        ("train.full_softmax_below=2", "train.n_negatives=8", "model.use_text=false"),
    ],
)
def test_tensor_operations_have_the_loss_and_gradients_of_compiled_code(
    more: tuple[str, ...], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.plain_loss._SLICE_FLOATS", 4_000)  # several slices
    made = material(rng, *more)
    loss, expected = gradients(learner(made, *more), made)
    plain_loss, found = gradients(learner(made, *more, on=PLAIN), made)
    assert plain_loss == pytest.approx(loss, rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * scale + 1e-7)


def test_steps_validation_and_export_agree_too(rng: np.random.Generator) -> None:
    made = material(rng)
    since = float(np.quantile(np.concatenate(made.rows["ts"].to_numpy()), 0.7))
    compiled, plain = learner(made), learner(made, on=PLAIN)
    expected, found = (losses(mine, made, 4) for mine in (compiled, plain))
    assert found == pytest.approx(expected, rel=1e-3)
    runs = pack(made.rows)
    figures = [
        Validation(made.log, made.log, settings(), since, placement=mine.placement).sums(
            mine.network, runs
        )
        for mine in (compiled, plain)
    ]
    assert figures[0].n > 50
    np.testing.assert_allclose(figures[1].ndcg, figures[0].ndcg, rtol=0.02)
    models = [exported(mine.network, made.log, settings()) for mine in (compiled, plain)]
    assert_same_model(*models, rtol=0.02)


def test_a_run_goes_on_in_the_other_form(rng: np.random.Generator) -> None:
    made = material(rng)
    one, other = learner(made, on=PLAIN), learner(made)
    losses(one, made, 3)
    other.restore({name: value.clone() for name, value in one.state().items()})
    assert_same_model(*(exported(mine.network, made.log, settings()) for mine in (one, other)))
    assert losses(other, made, 1) == pytest.approx(losses(one, made, 1), rel=1e-5)


def test_half_precision_is_for_wide_products_in_training_alone(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = material(rng)
    states = set()

    def noted(*given: torch.Tensor, **how: bool) -> tuple[torch.Tensor, torch.Tensor]:
        states.update(tensor.dtype for tensor in given if tensor.is_floating_point())
        return scan(*given, **how)

    scan = network_module.decayed_scan
    monkeypatch.setattr(network_module, "decayed_scan", noted)
    half = "train.precision=bf16"
    loss, exact = gradients(learner(made, on=PLAIN), made)
    rounded_loss, rounded = gradients(learner(made, half, on=PLAIN), made)
    assert 0.0 < abs(rounded_loss - loss) < 0.02
    assert all(gradient.dtype == torch.float32 for gradient in rounded.values())
    assert states == {torch.float32}
    whole, other = (torch.cat([g.flatten() for g in all_.values()]) for all_ in (exact, rounded))
    assert float(torch.cosine_similarity(whole, other, 0)) > 0.99
    compiled = gradients(learner(made, half), made)[0]
    assert compiled == gradients(learner(made), made)[0]  # a CPU has nothing to gain
    asked = []
    for mine in (learner(made, on=PLAIN), learner(made, half, on=PLAIN)):
        batch = mine.maker.training(pack(made.rows))
        assert batch is not None
        moved = mine.placement.moved(batch)
        mine.network.eval()
        asked.append(mine.network.ask(moved, *mine.network.tower(moved)).query)
    assert torch.equal(*asked)


@pytest.mark.parametrize("stage", ["lora", "full"])
def test_the_language_model_learns_in_this_form_too(
    stage: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    some = settings(f"train.stage={stage}", "train.n_text_rows=64", *STILL)
    folder, log = save_models(tmp_path)["encoder"], events(rng, n_items=len(TEXTS))
    text = tower_on(folder, stage=stage).eval().table().numpy()
    made = Material.of(log, catalog(len(TEXTS)), text, some)
    found = []
    for placement in (Placement(), Placement("cpu", compiled=False)):
        tower = tower_on(folder, stage=stage)
        tower.start_from(text)
        mine = Learner(made.log, some, 40, seed=3, placement=placement, language=tower)
        found.append(losses(mine, made, 3))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_what_a_cpu_learns(precision: str, rng: np.random.Generator) -> None:
    made, half = material(rng), f"train.precision={precision}"
    runs = pack(made.rows)
    cpu, gpu = learner(made, *STILL), learner(made, half, *STILL, on="cuda")
    close = 1e-3 if precision == "fp32" else 0.05
    loss, expected = gradients(cpu, made)
    gpu_loss, found = gradients(gpu, made)
    assert gpu_loss == pytest.approx(loss, rel=close)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=close, atol=close * scale + 1e-7)
    assert losses(gpu, made, 5) == pytest.approx(losses(cpu, made, 5), rel=10 * close)
    since = float(np.quantile(np.concatenate(made.rows["ts"].to_numpy()), 0.7))
    figures = [
        Validation(made.log, made.log, settings(), since, placement=mine.placement).sums(
            mine.network, runs
        )
        for mine in (cpu, gpu)
    ]
    np.testing.assert_allclose(figures[1].ndcg, figures[0].ndcg, rtol=0.1)
    back = learner(made, *STILL)
    back.restore({name: value.cpu() for name, value in gpu.state().items()})
    assert_same_model(*(exported(mine.network, made.log, settings()) for mine in (gpu, back)))
