from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from recsys.interest.model import ItemTable
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.interest.zero_shot import is_positive
from recsys.item_side import ItemSideOptions, ItemSideReplay, takers_of
from recsys.training.batches import BatchMaker
from recsys.training.export import exported
from recsys.training.fitting import Material, fit
from recsys.training.learner import Learner
from recsys.training.sequences import Questions, pack, questions
from tests.unit.training.logs import N_ITEMS, catalog, events, settings, text_vectors

OPTIONS = ItemSideOptions(half_life_s=7_200.0, strength=0.3)


def in_parallel(asked: Questions, query: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(P, N) the item-side part of all questions at once, from a matrix of decays."""
    which = np.repeat(np.arange(len(asked)), np.diff(asked.target_bounds))
    w = query / np.maximum(np.linalg.norm(query, axis=1, keepdims=True), 1e-12)
    age = asked.as_of[:, None] - asked.as_of[which][None]
    decay = np.where(age > 0.0, np.exp2(-np.maximum(age, 0.0) / OPTIONS.half_life_s), 0.0)
    chosen = np.zeros((len(which), N_ITEMS))
    chosen[np.arange(len(which)), asked.target] = 1.0
    near = (decay * (query @ w[which].T)) @ chosen
    found: npt.NDArray[np.float64] = near / (decay @ chosen + OPTIONS.prior)
    return OPTIONS.strength * found


def test_the_network_in_parallel_and_the_fold_make_the_same_profiles(
    rng: np.random.Generator,
) -> None:
    log, some = events(rng), settings("train.targets=all")
    made = Material.of(log, catalog(), text_vectors(rng), some)
    learner = Learner(made.log, some, 40, seed=3)
    runs = pack(made.rows)
    for _ in range(5):
        learner.step(runs)
    network = learner.network.eval()
    asked = questions(runs, "strict")
    rows = np.arange(N_ITEMS)
    maker = BatchMaker(made.log, some, np.random.default_rng(0))
    batch = maker.batch(runs, asked, (rows, np.zeros(N_ITEMS, np.float32)))
    with torch.no_grad():
        query = network.ask(batch, *network.tower(batch)).query[:, 0].numpy()
    parallel = in_parallel(asked, query)

    ready = exported(network, made.log, some)
    items = ItemTable(ready.vectors, ready.warm)
    positive = is_positive(log.kind, log.value, some.interest)
    taken = takers_of(log, positive, ready.model, items, ready.interest)
    moments = ReplayQueries(asked.run, ends_before(log, asked.run, asked.as_of), asked.as_of)
    served = replay(log, moments, ready.model, items, ready.interest).vectors
    folded = ItemSideReplay(taken, N_ITEMS, OPTIONS)
    assert len(taken.item) == len(asked.target) > 100
    assert np.abs(parallel).max() > 0.05
    for p in np.argsort(asked.as_of, kind="stable"):
        folded.advance_to(float(asked.as_of[p]))
        np.testing.assert_allclose(folded.part(served[p]), parallel[p], atol=1e-4)


def test_a_fit_chooses_how_loud_item_profiles_are(rng: np.random.Generator) -> None:
    log, text = events(rng, n_users=60), text_vectors(rng)
    plain, more = (
        fit(log, catalog(), text, settings("train.n_epochs=1", *extra))
        for extra in ((), ("model.item_profile=true",))
    )
    assert plain.item_side is None and "item_side" not in plain.best
    figures = more.best["item_side"]
    assert figures["n_queries"] >= 50
    best = max(figures["ndcg10"].values())
    assert (more.item_side is None) == (figures["ndcg10"]["silence"] == best)
    np.testing.assert_array_equal(plain.exported.vectors, more.exported.vectors)
