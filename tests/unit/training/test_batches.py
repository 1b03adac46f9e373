from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.training import plain_loss
from recsys.training.batches import BatchMaker, Candidates
from recsys.training.fitting import Material
from recsys.training.placing import Placement
from recsys.training.sequences import pack
from tests.unit.training.logs import N_ITEMS, catalog, events, settings, text_vectors


def material(rng: np.random.Generator, *more: str) -> tuple[Material, BatchMaker]:
    some = settings(*more)
    made = Material.of(events(rng), catalog(), text_vectors(rng), some)
    return made, BatchMaker(made.log, some, rng)


def corrections(given: Candidates) -> npt.NDArray[np.float32]:
    placed = Placement().candidates(given)
    return plain_loss.corrections(placed, slice(0, placed.n_questions)).numpy()


def is_cold(given: Candidates) -> npt.NDArray[np.bool_]:
    placed = Placement().candidates(given)
    return plain_loss.is_cold(placed, slice(0, placed.n_questions)).numpy()


def test_an_item_that_is_not_yet_born_is_no_candidate(rng: np.random.Generator) -> None:
    made, maker = material(rng)
    batch = maker.training(pack(made.rows))
    assert batch is not None
    given = batch.candidates
    unborn = given.born[None] >= given.as_of[:, None]
    assert unborn.any()
    assert np.all(corrections(given)[unborn] < -1e29)


def test_under_a_cutoff_later_items_are_cold_and_only_later_questions_count(
    rng: np.random.Generator,
) -> None:
    made, maker = material(rng, "train.stale_shares=[1.0]")
    runs = pack(made.rows)
    batch = maker.training(runs)
    assert batch is not None
    given = batch.candidates
    assert np.isfinite(given.cutoff).all()
    assert np.all(given.as_of >= given.cutoff)
    np.testing.assert_array_equal(is_cold(given), given.born[None] > given.cutoff[:, None])
    cutoff_of_run = dict(zip(given.run.tolist(), given.cutoff.tolist(), strict=True))
    for e in range(len(runs.item)):
        cutoff = cutoff_of_run.get(int(runs.run[e]))
        if cutoff is not None:
            assert bool(batch.event_cold[e]) == (made.log.born[runs.item[e]] > cutoff)


def test_without_stale_runs_every_warm_item_keeps_its_residual(rng: np.random.Generator) -> None:
    made, maker = material(rng, "train.stale_shares=[0.0]")
    batch = maker.training(pack(made.rows))
    assert batch is not None
    assert not is_cold(batch.candidates)[:, made.log.warm].any()


def test_what_the_user_touched_before_is_no_candidate(rng: np.random.Generator) -> None:
    made, maker = material(rng, "train.stale_shares=[0.0]")
    runs = pack(made.rows)
    batch = maker.training(runs)
    assert batch is not None
    given, added = batch.candidates, corrections(batch.candidates)
    for p in rng.choice(len(given.run), 30):
        past = (runs.run == given.run[p]) & (runs.ts < given.as_of[p]) & (runs.sign != 0)
        assert np.all(added[p, np.unique(runs.item[past])] < -1e29)
        right = given.target[given.target_bounds[p] : given.target_bounds[p + 1]]
        assert np.all(added[p, right] == 0.0)


def test_sampled_candidates_hold_every_right_answer_and_correct_for_popularity(
    rng: np.random.Generator,
) -> None:
    made, maker = material(rng, "train.full_softmax_below=2", "train.n_negatives=8")
    batch = maker.training(pack(made.rows))
    assert batch is not None
    rows = batch.rows[batch.candidate_at].numpy()
    assert len(rows) <= N_ITEMS
    correction = batch.candidates.correction
    drawn = np.isfinite(correction)
    assert drawn.any() and np.all(correction[drawn] >= 0.0)
    popular = made.log.counts[rows]
    order = np.argsort(popular[drawn])
    assert correction[drawn][order[0]] >= correction[drawn][order[-1]]


def test_a_step_sees_some_items_as_if_they_had_just_been_born(rng: np.random.Generator) -> None:
    made, maker = material(rng, "train.stale_shares=[0.0]", "train.id_dropout=0.5")
    runs = pack(made.rows)
    batch = maker.training(runs)
    assert batch is not None
    given = batch.candidates
    new = is_cold(given).all(axis=0)
    assert 0.2 < new.mean() < 0.8
    np.testing.assert_array_equal(is_cold(given).any(axis=0), new)
    assert given.muted[new].all()
    if given.slot is not None:
        assert np.all(given.slot[new] == -1)
    of_row = dict(zip(batch.rows[batch.candidate_at].tolist(), new.tolist(), strict=True))
    known = runs.item >= 0
    expected = [of_row[item] for item in runs.item[known].tolist()]
    assert batch.event_cold.numpy()[known].tolist() == expected
