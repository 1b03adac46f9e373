from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.bundle_manifest import current_bundle_id
from recsys.errors import ConfigError
from recsys.events import EventArrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.item_side import (
    ItemSideOptions,
    ItemSideReplay,
    ItemSideState,
    Takers,
    check_no_item_side,
    takers_of,
)
from recsys.ranking import default_weights
from recsys.schema import DEFAULT_TENANT
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_items
from recsys.testing.models import random_bundle
from tests.unit.training.logs import events, settings

N_ITEMS, N_DIMS, LIFE_S = 6, 4, 3_600.0
OPTIONS = ItemSideOptions(LIFE_S, strength=0.7, prior=1.5)


def choices(rng: np.random.Generator, n: int = 50, span_s: float = 50_000.0) -> Takers:
    vectors = rng.normal(size=(n, N_DIMS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ts = np.sort(1e9 + span_s * rng.random(n)).round(-2)  # some share an instant
    item = rng.integers(0, N_ITEMS - 1, n).astype(np.int32)  # nobody chooses the last one
    return Takers(item, ts, vectors.astype(np.float32))


def slowly(taken: Takers, asked: np.ndarray, as_of: float) -> np.ndarray:
    """The formula, choice by choice."""
    found = np.zeros(N_ITEMS)
    for i in range(N_ITEMS):
        total, mass = np.zeros(N_DIMS), 0.0
        for item, ts, vector in zip(taken.item, taken.ts, taken.vectors, strict=True):
            if item == i and ts < as_of:
                left = 2.0 ** (-(as_of - ts) / OPTIONS.half_life_s)
                total, mass = total + left * vector, mass + left
        found[i] = OPTIONS.strength * (asked @ total).max() / (mass + OPTIONS.prior)
    return found


@pytest.mark.parametrize("span_s", [50_000.0, 2_000.0 * LIFE_S])
def test_a_replay_is_the_sum_of_what_came_strictly_before(
    rng: np.random.Generator, span_s: float
) -> None:
    taken, asked = choices(rng, span_s=span_s), rng.normal(size=(2, N_DIMS)).astype(np.float32)
    replayed = ItemSideReplay(taken, N_ITEMS, OPTIONS)
    for as_of in (taken.ts[0], taken.ts[9], taken.ts[9], taken.ts[30], taken.ts[-1] + 7_000.0):
        replayed.advance_to(float(as_of))
        found = replayed.part(asked)
        np.testing.assert_allclose(found, slowly(taken, asked, float(as_of)), atol=1e-5)
        assert found[-1] == 0.0
    with pytest.raises(ValueError, match="cannot go back"):
        replayed.advance_to(0.0)


def test_order_and_shards_make_no_difference(rng: np.random.Generator) -> None:
    taken, asked = choices(rng), rng.normal(size=(1, N_DIMS)).astype(np.float32)
    order, as_of = rng.permutation(50), float(taken.ts[-1]) + 60.0
    whole, parts = (ItemSideState(N_ITEMS, N_DIMS, OPTIONS) for _ in range(2))
    whole.add(taken.item, taken.ts, taken.vectors)
    for some in np.array_split(order, 3):
        part = ItemSideState(N_ITEMS, N_DIMS, OPTIONS)
        part.add(taken.item[some], taken.ts[some], taken.vectors[some])
        parts.merge(part)
    np.testing.assert_allclose(parts.part(asked, as_of), whole.part(asked, as_of), atol=1e-6)
    other = ItemSideState(N_ITEMS, N_DIMS, replace(OPTIONS, half_life_s=1.0))
    with pytest.raises(ValueError, match="do not merge"):
        whole.merge(other)


def test_one_choice_moves_an_item_by_no_more_than_the_strength(rng: np.random.Generator) -> None:
    taken, asked = choices(rng), rng.normal(size=(1, N_DIMS)).astype(np.float32)
    state = ItemSideState(N_ITEMS, N_DIMS, OPTIONS)
    state.add(taken.item, taken.ts, taken.vectors)
    bound = OPTIONS.strength * np.linalg.norm(asked) + 1e-6
    assert np.abs(state.part(asked, float(taken.ts[-1]))).max() <= bound


def of_log(log: EventArrays, rng: np.random.Generator) -> Takers:
    some = settings()
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    items = ItemTable.all_warm(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    model = ZeroShot(some.interest, default_weights(some.interest, some.trend))
    positive = is_positive(log.kind, log.value, some.interest)
    return takers_of(log, positive, model, items, some.interest)


def test_what_a_user_does_later_changes_no_earlier_choice(rng: np.random.Generator) -> None:
    log, seed = events(rng), 5
    until = float(np.quantile(log.ts, 0.6))
    whole = of_log(log, np.random.default_rng(seed))
    past = of_log(log.kept(np.flatnonzero(log.ts < until)), np.random.default_rng(seed))
    n = len(past.ts)
    assert 0 < n < len(whole.ts) and whole.ts[n] >= until > whole.ts[n - 1]
    np.testing.assert_array_equal(whole.item[:n], past.item)
    np.testing.assert_allclose(whole.vectors[:n], past.vectors, atol=1e-6)


def test_a_first_choice_says_nothing_of_itself(rng: np.random.Generator) -> None:
    log = events(rng)
    some = settings()
    taken = of_log(log, rng)
    positive = is_positive(log.kind, log.value, some.interest) & (log.item >= 0)
    firsts = {float(log.ts[begin]) for begin in log.bounds[:-1] if positive[begin]}
    norms = np.linalg.norm(taken.vectors, axis=1)
    assert (norms[np.isin(taken.ts, list(firsts))] == 0.0).any()
    np.testing.assert_allclose(norms[norms > 0.0], 1.0, atol=1e-5)


def test_no_bundle_can_ask_for_item_profiles() -> None:
    check_no_item_side(load().model)
    with pytest.raises(ConfigError, match="Leave it out"):
        check_no_item_side(load(assignments=["model.item_profile=true"]).model)


def test_a_bundle_that_asks_for_item_profiles_is_not_published(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    asked_for = settings("model.item_profile=true")
    with pytest.raises(ConfigError, match=r"model\.item_profile"):
        random_bundle(store, tiny_items({"a": "film", "b": "song"}), 1e9, asked_for)
    assert current_bundle_id(store, DEFAULT_TENANT) is None
