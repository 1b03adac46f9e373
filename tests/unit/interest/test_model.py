from __future__ import annotations

import pickle

import numpy as np
import pytest

from recsys.interest.beside import AlignedNeighbours
from recsys.interest.model import InterestModel, ItemTable, Query, nobody
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import InterestSettings, TrendSettings, load
from recsys.testing.contracts import CONTRACT_DIMS, InterestModelContract
from recsys.testing.fakes import DecayedPairs
from recsys.testing.models import random_interest

SETTINGS = load(assignments=[f"encoder.n_dims={CONTRACT_DIMS}", "model.n_queries=2"])


class TestZeroShot(InterestModelContract):
    @pytest.fixture
    def interest(self) -> InterestSettings:
        return InterestSettings()

    @pytest.fixture
    def model(self, interest: InterestSettings) -> InterestModel:
        return ZeroShot(interest, default_weights(interest, TrendSettings()))

    def test_everybodys_trend_weighs_the_same_on_warm_and_cold_items(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        query = nobody(model, interest, CONTRACT_DIMS)
        np.testing.assert_array_equal(query.warm_trend, query.cold_trend)
        assert not query.cold_offset.any()
        assert not query.vectors.any()


class TestLearnedUnderALaw(InterestModelContract):
    """One that is no exponential: its half-lives are weighed, and read together."""

    @pytest.fixture
    def interest(self) -> InterestSettings:
        lives = InterestSettings().half_lives_s
        return InterestSettings(negative_half_lives_s=lives)

    @pytest.fixture
    def model(self, interest: InterestSettings, rng: np.random.Generator) -> InterestModel:
        form = SETTINGS.model.model_copy(update={"kernel": "hyperbolic"})
        return random_interest(
            SETTINGS.model_copy(update={"interest": interest, "model": form}), rng
        )


class TestLearnedOfRandomWeights(InterestModelContract):
    @pytest.fixture
    def interest(self) -> InterestSettings:
        return SETTINGS.interest

    @pytest.fixture
    def model(self, rng: np.random.Generator) -> InterestModel:
        return random_interest(SETTINGS, rng)

    def test_it_differs_from_zero_shot_in_all_that_is_carried(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        query = nobody(model, interest, CONTRACT_DIMS)
        assert query.vectors.shape == (1, 2, CONTRACT_DIMS)
        assert not query.vectors.any()  # of nobody nothing is known but trend
        assert not np.allclose(query.warm_trend, query.cold_trend)
        assert query.cold_offset.any()

    def test_it_survives_a_process_boundary(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        back = pickle.loads(pickle.dumps(model))
        for mine, theirs in zip(
            nobody(model, interest, CONTRACT_DIMS),
            nobody(back, interest, CONTRACT_DIMS),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_half_lives_that_weigh_for_anybody_are_used() -> None:
    zeros = np.zeros((2, 3), np.float32)
    warm, cold = zeros.copy(), zeros.copy()
    warm[0, 0], cold[1, 2] = 1.0, -1.0
    nothing = np.zeros(2, np.float32)
    query = Query(np.zeros((2, 1, 4), np.float32), warm, cold, nothing, nothing, zeros[:, :0])
    assert query.uses_trend.tolist() == [True, False, True]
    assert query.of(0).uses_trend.tolist() == [True, False, False]


def test_directions_are_unit_rows_and_unit_rows_stay_as_they_are(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(9, 4)).astype(np.float32)
    vectors[2] = 0.0
    directions = ItemTable.all_warm(vectors).directions
    lengths = np.linalg.norm(directions, axis=1)
    np.testing.assert_allclose(lengths, [*[1.0] * 2, 0.0, *[1.0] * 6], atol=1e-6)
    again = ItemTable.all_warm(directions)
    assert again.directions is again.vectors


def test_an_item_without_a_word_on_its_warmth_is_refused() -> None:
    with pytest.raises(ValueError, match="warm"):
        ItemTable(np.zeros((3, 2), np.float32), np.zeros(2, bool))


def test_neighbours_speak_in_the_rows_of_another_catalog(rng: np.random.Generator) -> None:
    table = rng.normal(size=(4, 4)).astype(np.float32)
    inner = DecayedPairs(table, 100.0)
    rows = np.array([2, -1, 0, 3])  # item 1 is new, the first catalog's item 1 is gone
    events = (np.array([0, 1, 3]), np.array([0.0, 50.0, 100.0]), 100.0, np.ones(3))
    found = AlignedNeighbours(inner, rows).part(*events)
    expected = inner.part(np.array([2, 3]), np.array([0.0, 100.0]), 100.0, np.ones(2))
    np.testing.assert_allclose(found, [expected[2], 0.0, expected[0], expected[3]], rtol=1e-6)
    assert (
        not AlignedNeighbours(inner, rows).part(*(e[:0] for e in events[:2]), 1.0, np.ones(0)).any()
    )
