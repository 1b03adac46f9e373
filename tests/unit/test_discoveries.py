"""What counts for trend: offline from whole histories, online from what a profile has seen."""

from __future__ import annotations

import numpy as np

from recsys.discoveries import counts_for_trend, first_touches
from recsys.evaluation.scene import scene_of
from recsys.folding import Basis, empty_state, fold_batch
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.ranking import default_weights
from recsys.settings import load
from tests.unit.training.logs import N_ITEMS, catalog, events

NEW = "trend.counts=new"


def test_a_touch_is_the_first_once_for_each_user_and_item(rng: np.random.Generator) -> None:
    log = events(rng)
    first = first_touches(log, ("impression",))
    pairs = set()
    for e in range(len(log)):
        pair = (int(log.user[e]), int(log.item[e]))
        assert first[e] == (pair not in pairs)
        pairs.add(pair)


def test_all_positive_events_count_unless_discoveries_are_asked_for(
    rng: np.random.Generator,
) -> None:
    log, plain, new = events(rng), load(), load(assignments=[NEW])
    positive = is_positive(log.kind, log.value, plain.interest)
    np.testing.assert_array_equal(counts_for_trend(log, plain), positive)
    some = counts_for_trend(log, new)
    assert 0 < some.sum() < positive.sum()
    assert not (some & ~positive).any()


def test_profiles_count_the_discoveries_that_the_log_has_in_any_batches(
    rng: np.random.Generator,
) -> None:
    log, settings = events(rng), load(assignments=[NEW, "encoder.n_dims=8"])
    model = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    items = ItemTable.all_warm(rng.normal(size=(N_ITEMS, 8)).astype(np.float32))
    basis = Basis(catalog(), items, model, settings)
    table, trend = empty_state(basis)
    rows = table.rows(log.user_ids, create=True)[log.user]
    for part in np.array_split(np.argsort(log.ts, kind="stable"), 7):
        fold_batch(table, trend, rows[part], FoldBatch.of(log, part), basis)
    positive = is_positive(log.kind, log.value, settings.interest)
    lives = settings.trend.half_lives_s
    scene = scene_of(log, positive, catalog(), items, model, lives)
    replay = scene.counting(counts_for_trend(log, settings)).trend()
    replay.advance_to(trend.t_ref + 1.0)
    np.testing.assert_allclose(trend.at(trend.t_ref + 1.0, N_ITEMS), replay.mass(), rtol=1e-4)
