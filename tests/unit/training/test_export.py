from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from recsys.evaluation.split import time_queries
from recsys.events import NO_TEXT, EventArrays
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import is_positive
from recsys.settings import Settings
from recsys.training.batches import BatchMaker
from recsys.training.export import exported
from recsys.training.fitting import Material
from recsys.training.learner import Learner
from recsys.training.readout import Asked
from recsys.training.sequences import Pack, Questions, pack, questions
from recsys.training.surroundings import Texts
from tests.unit.training.logs import catalog, dated, events, settings, spoken, text_vectors

Floats = npt.NDArray[np.float32]

KERNELS = ("exponential", "hyperbolic", "power_law")


SHAPES = [(1, False, "exponential"), (2, False, "exponential"), (1, True, "exponential")]
SHAPES += [(2, False, "hyperbolic"), (1, True, "power_law")]


@pytest.mark.parametrize(("n_queries", "speaks", "kernel"), SHAPES)
def test_the_serving_fold_gives_the_queries_of_the_network(
    n_queries: int, speaks: bool, kernel: str, rng: np.random.Generator
) -> None:
    form = f"model.n_queries={n_queries}", f"model.kernel={kernel}"
    some = settings(*form, "train.stale_shares=[0.0]")
    log, words = _log(speaks, rng)
    material = Material.of(log, dated(rng, log), Texts(text_vectors(rng), words), some)
    learner = Learner(material.log, some, 20, seed=1)
    if kernel == "exponential":
        with torch.no_grad():  # unsorted
            learner.network.log_half_life_s.copy_(torch.tensor([12.0, 4.0, 8.0, 10.0]))
    runs = pack(material.rows)
    for _ in range(10):
        learner.step(runs)
    ready = exported(learner.network, material.log, some)
    assert learner.network.readout.fresh.weight.any()  # births were there to learn from
    asked = questions(runs, "strict")
    expected = _asked_of_network(learner, runs, asked, some)
    assert list(ready.interest.half_lives_s) == sorted(ready.interest.half_lives_s)
    assert ready.model.reads_text == speaks
    items = ItemTable(ready.vectors, ready.warm)
    texts = None if words is None else ready.model.text_table(words)
    for p in rng.choice(len(asked), 40, replace=False):
        run, last = asked.run[p], asked.last[p]
        past = slice(runs.bounds[run], last + 1 if last >= 0 else runs.bounds[run])
        table = ProfileTable(items.n_dims, ready.interest, some.data.kinds)
        user = table.rows(["one"], create=True)
        order = rng.permutation(past.stop - past.start) + past.start  # any order
        batch = FoldBatch.of(log, order)
        table.fold(np.repeat(user, len(order)), batch, ready.model, items, texts)
        query = ready.model.query(table.banks(user), float(asked.as_of[p]))
        found = tuple(part[0] for part in query)
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs[p].numpy(), rtol=1e-4, atol=1e-4)


def _log(speaks: bool, rng: np.random.Generator) -> tuple[EventArrays, Floats | None]:
    """Events, and the vectors of what is said in them."""
    log = events(rng)
    if not speaks:
        return log, None
    log, words = spoken(log, rng)
    assert log.text is not None
    return replace(log, text=np.maximum(log.text, NO_TEXT)), words  # training reads no others


def _asked_of_network(learner: Learner, runs: Pack, asked: Questions, some: Settings) -> Asked:
    learner.network.eval()
    rows = np.arange(learner.surroundings.n_items)
    maker = BatchMaker(learner.surroundings, some, np.random.default_rng(0))
    batch = maker.batch(runs, asked, (rows, np.zeros(len(rows), np.float32)))
    with torch.no_grad():
        found: Asked = learner.network.ask(batch, *learner.network.tower(batch))
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_values_and_importances_are_bounded_by_construction(
    kernel: str, rng: np.random.Generator
) -> None:
    some, log = settings(f"model.kernel={kernel}"), events(rng)
    material = Material.of(log, catalog(), 100.0 * text_vectors(rng), some)
    learner = Learner(material.log, some, 20, seed=1)
    with torch.no_grad():
        for parameter in learner.network.event.parameters():
            parameter.mul_(50.0)
    ready = exported(learner.network, material.log, some)
    batch = FoldBatch(log.item, log.ts, log.kind, log.value)
    evidence = ready.model.evidence(batch, ItemTable(ready.vectors, ready.warm))
    assert np.linalg.norm(evidence.values, axis=1).max() <= 1.0 + 1e-6
    assert 0.0 <= evidence.importance.min() <= evidence.importance.max() <= 4.0
    positive = is_positive(log.kind, log.value, some.interest)
    assert len(time_queries(log, positive, 0.0)) > 0
    bad, n_good = log.kind == "dislike", len(ready.interest.half_lives_s)
    assert not evidence.importance[bad, :n_good].any()
    assert evidence.importance[bad, n_good:].any(axis=1).all()
    if kernel != "exponential":  # one importance for a whole bank
        assert evidence.importance.sum(axis=1).max() <= 4.0 + 1e-5


def test_half_lives_that_ran_away_are_clamped_and_reported(rng: np.random.Generator) -> None:
    some = settings()
    material = Material.of(events(rng), catalog(), text_vectors(rng), some)
    learner = Learner(material.log, some, 20, seed=1)
    with torch.no_grad():
        learner.network.log_half_life_s.copy_(torch.tensor([-60.0, 8.0, 60.0, 10.0]))
    ready = exported(learner.network, material.log, some)
    assert ready.interest.half_lives_s[0] == 1.0
    assert ready.interest.half_lives_s[-1] == pytest.approx(3.2e9)
    assert len(ready.clamped) == 2


def test_half_lives_of_nothing_and_of_ever_are_reported_as_numbers(
    rng: np.random.Generator,
) -> None:
    some = settings()
    material = Material.of(events(rng), catalog(), text_vectors(rng), some)
    learner = Learner(material.log, some, 20, seed=1)
    with torch.no_grad():
        learner.network.log_half_life_s.copy_(torch.tensor([-2_000.0, 2_000.0, 8.0, 2_000.0]))
    ready = exported(learner.network, material.log, some)
    assert ready.interest.half_lives_s == (1.0, pytest.approx(np.exp(8.0)), 3.2e9)
    assert ready.interest.negative_half_lives_s == (3.2e9,)
    assert json.loads(json.dumps(ready.clamped, allow_nan=False))[0] == 0.0


def test_a_learned_taste_fades_while_the_user_is_away(rng: np.random.Generator) -> None:
    some, log = settings(), events(rng)
    material = Material.of(log, catalog(), text_vectors(rng), some)
    learner = Learner(material.log, some, 20, seed=1)
    runs = pack(material.rows)
    for _ in range(10):
        learner.step(runs)
    ready = exported(learner.network, material.log, some)
    items = ItemTable(ready.vectors, ready.warm)
    table = ProfileTable(items.n_dims, ready.interest, some.data.kinds)
    rows = table.rows(log.user_ids, create=True)
    table.fold(rows[log.user], FoldBatch(log.item, log.ts, log.kind, log.value), ready.model, items)
    banks, longest = table.banks(rows), max(ready.interest.half_lives_s)
    loud = [
        np.linalg.norm(ready.model.query(banks, banks.t_ref + n * longest).vectors, axis=2)
        for n in (0, 2, 20)
    ]
    assert np.all(loud[1] < loud[0]) and np.all(loud[2] < 1e-3 * loud[0])
