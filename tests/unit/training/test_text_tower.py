from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.encoder.text import TextEncoder
from recsys.errors import ConfigError, NotFoundError
from recsys.settings import EncoderSettings
from recsys.training.options import TrainSettings
from recsys.training.text_tower import TextTower
from tests.unit.encoder.models import save_encoder
from tests.unit.training.towers import TEXTS, fit, save_models, tower_on, toy_loss

KINDS = ("encoder", "decoder")
STAGES = ("lora", "full")
ALL = torch.arange(len(TEXTS))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


def snapshot(tower: TextTower) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in tower.named_parameters()}


def changed(tower: TextTower, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, p in tower.named_parameters() if not torch.equal(p.detach(), before[n])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_an_untrained_tower_reads_texts_as_the_encoder_does(
    folders: dict[str, Path], kind: str, stage: str, pooling: Any
) -> None:
    tower = tower_on(folders[kind], pooling, stage=stage).eval()
    encoder = TextEncoder(folders[kind], EncoderSettings(pooling=pooling))
    expected = encoder.encode(TEXTS)
    expected[2] = 0.0  # what says nothing stands nowhere
    found = tower(ALL)
    assert found.shape == (len(TEXTS), tower.n_dims)
    assert found.requires_grad
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(tower.table().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(tower.cached(torch.tensor([9, 2])).numpy(), expected[[9, 2]], 1e-5)
    repeated = torch.tensor([4, 2, 1, 4])
    np.testing.assert_allclose(tower(repeated).detach().numpy(), expected[repeated], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_learn_and_all_else_stays(folders: dict[str, Path], kind: str) -> None:
    tower = tower_on(folders[kind], lora_dropout=0.05)
    before = snapshot(tower)
    losses = fit(tower, 15)
    assert losses[-1] < 0.8 * losses[0]
    moved = changed(tower, before)
    assert moved == {n for n in before if ".lora_" in n} == set(tower.trained())
    projections = 3 if kind == "encoder" else 4
    assert len(moved) == 2 * projections * 2  # layers x projections x (A, B)


@pytest.mark.parametrize("kind", KINDS)
def test_at_stage_full_every_weight_that_makes_the_vector_learns(
    folders: dict[str, Path], kind: str
) -> None:
    tower = tower_on(folders[kind], stage="full")
    before = snapshot(tower)
    losses = fit(tower, 15, rate=3e-3)
    assert losses[-1] < 0.8 * losses[0]
    assert changed(tower, before) == {n for n in before if ".pooler." not in n}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_recomputed_activations_give_the_same_gradients(
    folders: dict[str, Path], kind: str, stage: str
) -> None:
    gradients = []
    for checkpointing in (False, True):
        tower = tower_on(folders[kind], stage=stage, gradient_checkpointing=checkpointing)
        calls = count_forwards(tower)
        torch.manual_seed(3)  # of the dropout at stage full
        toy_loss(tower).backward()
        gradients.append({n: p.grad for n, p in tower.named_parameters() if p.requires_grad})
        n_batches = calls["model"]
        assert calls["layer"] == n_batches * (2 if checkpointing else 1)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def count_forwards(tower: TextTower) -> dict[str, int]:
    """How often the model, and the attention of its first layer, are computed from now on."""
    calls = {"model": 0, "layer": 0}
    layer = next(m for n, m in tower.model.named_modules() if n.endswith(("query", "q_proj")))

    def count(name: str) -> Any:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    tower.model.register_forward_hook(count("model"))
    layer.register_forward_hook(count("layer"))
    return calls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_half_precision_trains_weights_that_stay_whole(
    folders: dict[str, Path], kind: str, stage: str
) -> None:
    tower = tower_on(folders[kind], stage=stage, precision="bf16", gradient_checkpointing=True)
    exact = tower_on(folders[kind], stage=stage).eval()(ALL).detach()
    rounded = tower.eval()(ALL).detach()
    assert rounded.dtype == torch.float32
    assert 0.0 < float((rounded - exact).abs().max()) < 0.05
    tower.train()
    toy_loss(tower).backward()
    trained = [p for p in tower.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in trained)
    losses = fit(tower, 10)
    assert losses[-1] < losses[0]


def test_equal_texts_are_encoded_once_and_batches_are_bounded(folders: dict[str, Path]) -> None:
    tower = tower_on(folders["encoder"])
    shapes: list[tuple[int, ...]] = []

    def note(_module: object, _args: object, kwargs: dict[str, torch.Tensor]) -> None:
        shapes.append(tuple(kwargs["input_ids"].shape))

    tower.model.register_forward_pre_hook(note, with_kwargs=True)
    vectors = tower(torch.tensor([0, 4, 0, 4, 2, 9]))
    assert sum(n for n, _ in shapes) == 2
    assert torch.equal(vectors[0], vectors[1])
    shapes.clear()
    tower(ALL)
    assert sum(n for n, _ in shapes) == tower.n_texts == 8
    assert all(n == 1 or n * width <= 16 for n, width in shapes)


def test_dropout_is_on_only_where_something_is_trained(folders: dict[str, Path]) -> None:
    lora = tower_on(folders["encoder"], lora_dropout=0.1)
    on = [n for n, m in lora.named_modules() if isinstance(m, torch.nn.Dropout) and m.training]
    assert len(on) == 6
    assert all(".lora_dropout." in name for name in on)
    full = tower_on(folders["encoder"], stage="full")
    dropouts = [m for m in full.modules() if isinstance(m, torch.nn.Dropout)]
    assert all(m.training for m in dropouts)
    for tower in (lora, full):
        assert not any(module.training for module in tower.eval().modules())


def test_an_item_without_text_gets_zeros_and_leaves_no_gradient(folders: dict[str, Path]) -> None:
    for stage in STAGES:
        tower = tower_on(folders["encoder"], stage=stage)
        vectors = tower(torch.tensor([2, 2]))
        assert not vectors.any()
        vectors.sum().backward()
        trained = [p.grad for p in tower.parameters() if p.requires_grad]
        assert all(gradient is not None and not gradient.any() for gradient in trained)


def test_a_catalog_that_says_nothing_is_all_zeros(folders: dict[str, Path]) -> None:
    tower = TextTower(folders["encoder"], ["", ""], EncoderSettings(), TrainSettings(stage="full"))
    assert tower.n_texts == 0
    assert not tower.table().any()
    assert tower.chosen(torch.tensor([0, 1, 1]), torch.Generator()).tolist() == []


def test_the_bank_stays_until_it_is_refreshed(folders: dict[str, Path]) -> None:
    tower = tower_on(folders["encoder"])
    before = tower.table()
    fit(tower, 3)
    assert torch.equal(tower.table(), before)
    tower.refresh()
    assert tower.training
    after = tower.table()
    assert float((after - before).abs().max()) > 1e-3
    torch.testing.assert_close(after, tower.eval()(ALL).detach(), atol=1e-6, rtol=1e-5)
    assert not after.requires_grad
    after[0] = 7.0  # a copy: the next table does not know of it
    assert float(tower.table().abs().max()) <= 1.0


def test_known_vectors_can_fill_the_bank(folders: dict[str, Path]) -> None:
    tower = tower_on(folders["encoder"])
    known = torch.nn.functional.normalize(torch.rand(len(TEXTS), tower.n_dims))
    known[2], known[4] = 0.0, known[0]
    tower.start_from(known.numpy())
    assert torch.equal(tower.table(), known)


def test_a_step_of_bank_and_gradient_rows_reaches_the_model(folders: dict[str, Path]) -> None:
    tower = tower_on(folders["encoder"], n_text_rows=2)
    rows = tower.chosen(torch.tensor([1, 1, 3, 6, 2]), torch.Generator().manual_seed(1))
    text = tower.table()
    text[rows] = tower(rows)
    (text @ text.T).square().sum().backward()
    gradients = [p.grad for n, p in tower.named_parameters() if ".lora_B." in n]
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)


def test_chosen_rows_are_few_have_text_and_follow_how_often_they_occur(
    folders: dict[str, Path],
) -> None:
    tower = tower_on(folders["encoder"], n_text_rows=2)
    generator = torch.Generator().manual_seed(5)
    touched = torch.tensor([1] * 8 + [2] * 8 + [0, 4, 6])
    drawn = [tower.chosen(touched, generator).tolist() for _ in range(300)]
    assert all(rows == sorted(set(rows)) and 2 not in rows for rows in drawn)
    assert all(len({TEXTS[row] for row in rows}) == 2 for rows in drawn)
    assert all((0 in rows) == (4 in rows) for rows in drawn)  # one text
    often, rare = (sum(row in rows for rows in drawn) for row in (1, 6))
    assert often > 270
    assert 50 < rare < 150


class Company:
    """Two workers in one process: the other one makes more batches, and the same table."""

    n = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def most(self, count: int) -> int:
        return count + 2

    def total(self, table: torch.Tensor) -> torch.Tensor:
        return table


def test_workers_make_equally_many_batches_and_share_the_bank(folders: dict[str, Path]) -> None:
    alone = tower_on(folders["decoder"])
    workers = [
        TextTower(folders["decoder"], TEXTS, alone.settings, alone._train, Company(rank))
        for rank in (0, 1)
    ]
    torch.testing.assert_close(sum(w.table() for w in workers), alone.table())
    for tower in (alone, workers[0]):
        toy_loss(tower).backward()
    for left, right in zip(alone.parameters(), workers[0].parameters(), strict=True):
        if left.requires_grad:
            torch.testing.assert_close(left.grad, right.grad)


def test_equal_seeds_begin_equally_and_draw_nothing_from_the_global_generator(
    folders: dict[str, Path],
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = tower_on(folders["encoder"]).trained()
    assert torch.equal(torch.rand(3), expected)
    again, other = (tower_on(folders["encoder"], seed=seed).trained() for seed in (17, 18))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_what_was_trained_can_be_put_back(folders: dict[str, Path]) -> None:
    for stage in STAGES:
        tower = tower_on(folders["decoder"], stage=stage)
        fit(tower, 3)
        fresh = tower_on(folders["decoder"], stage=stage)
        fresh.table()
        fresh.restore({name: value.clone() for name, value in tower.trained().items()})
        tower.refresh()
        assert torch.equal(fresh.table(), tower.table())
        other = tower_on(folders["encoder"], stage=stage, lora_rank=3)
        with pytest.raises(ConfigError, match="other trained weights"):
            other.restore(tower.trained())


def test_the_frozen_stage_needs_no_tower(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        tower_on(folders["encoder"], stage="frozen")


def test_a_model_without_weights_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"encoder\.model"):
        tower_on(tmp_path / "nowhere")
    folder = save_encoder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ConfigError, match="safetensors"):
        tower_on(folder)
