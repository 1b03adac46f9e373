"""Contract tests: what every encoder, retriever and interest model must do.

Derive a test class, define the fixture of the same name, and run it with pytest::

    class TestHashEncoder(EncoderContract):
        @pytest.fixture
        def encoder(self):
            return HashEncoder()
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.events import NO_TEXT, UNKNOWN_TEXT
from recsys.interest.model import (
    Banks,
    FoldBatch,
    InterestModel,
    ItemTable,
    TextTable,
    empty_banks,
    split_banks,
)
from recsys.retrieval import MISSING, Retriever
from recsys.settings import InterestSettings

TEXTS = ["a knight and a castle", "garlic pasta", "", "rockets in space " * 40, "garlic pasta"]


class EncoderContract:
    """Fixture ``encoder``: any ``recsys.encoder.text.Encoder``."""

    def test_rows_are_unit_vectors_of_float32(self, encoder: Any) -> None:
        """Whatever the text, the empty one and a long one included."""
        vectors = encoder.encode(TEXTS)
        assert vectors.shape == (len(TEXTS), encoder.n_dims)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_equal_texts_have_equal_vectors_wherever_they_stand(self, encoder: Any) -> None:
        """Neither order nor company changes a vector by more than rounding."""
        together = encoder.encode(TEXTS)
        np.testing.assert_allclose(together[1], together[4], atol=1e-5)
        np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)
        np.testing.assert_allclose(encoder.encode([TEXTS[0]])[0], together[0], atol=1e-5)

    def test_different_texts_have_different_vectors(self, encoder: Any) -> None:
        """Else nothing can be recommended."""
        vectors = encoder.encode(TEXTS)
        assert not np.allclose(vectors[0], vectors[1], atol=1e-3)

    def test_no_texts_give_no_rows(self, encoder: Any) -> None:
        """The width stays."""
        assert encoder.encode([]).shape == (0, encoder.n_dims)


RETRIEVER_VECTORS = np.array(
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.6, 0.8], [-1.0, 0.0]], dtype=np.float32
)
"""What the retriever under test must hold; row 2 is an item without a vector."""


class RetrieverContract:
    """Fixture ``retriever``: a ``recsys.retrieval.Retriever`` over ``RETRIEVER_VECTORS``."""

    def test_items_come_best_first_with_their_inner_products(self, retriever: Retriever) -> None:
        """The query's length scales the scores."""
        index, score = retriever.search(np.array([[2.0, 0.0]], dtype=np.float32), 3)
        assert index.tolist() == [[0, 3, 1]]
        np.testing.assert_allclose(score, [[2.0, 1.2, 0.0]], atol=1e-6)
        assert index.dtype == np.int64
        assert score.dtype == np.float32

    def test_items_without_a_vector_are_never_found(self, retriever: Retriever) -> None:
        """Missing places are filled with ``MISSING`` and -inf."""
        index, score = retriever.search(np.array([[0.0, -1.0], [1.0, 1.0]], dtype=np.float32), 7)
        assert index.shape == (2, 7)
        assert 2 not in index
        for row in range(2):
            assert sorted(index[row])[:3] == [MISSING] * 3
        assert np.all(np.isneginf(score[index == MISSING]))

    def test_impossible_questions_are_refused(self, retriever: Retriever) -> None:
        """They are mistakes of the programmer."""
        for queries, k in ((np.zeros((1, 2)), 0), (np.zeros((1, 3)), 1), (np.zeros(2), 1)):
            try:
                retriever.search(queries.astype(np.float32), k)
            except ValueError:
                continue
            raise AssertionError(f"a search of {queries.shape} for k={k} was not refused")


class InterestModelContract:
    """Fixtures ``model``, which takes ``contract_items``, and ``interest``, its settings."""

    def test_one_event_moves_a_state_by_a_bounded_amount(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        """Values lie in the unit ball, importance below its bound, each sign in its own bank."""
        items, events = contract_items(), contract_events()
        importance, index, values = model.evidence(events, items).arrays
        assert np.linalg.norm(values, axis=1).max() <= 1.0 + 1e-6
        assert importance.min() >= 0.0 and importance.max() < interest.max_importance
        n_good = len(interest.half_lives_s)
        assert not (importance[:, :n_good].any(axis=1) & importance[:, n_good:].any(axis=1)).any()
        disliked = events.kind == "dislike"
        assert not importance[disliked, :n_good].any()
        assert np.all(index[events.item < 0] == -1)

    def test_an_events_evidence_is_its_own(self, model: InterestModel) -> None:
        """Whatever other events come with it."""
        items, events = contract_items(), contract_events()
        whole = model.evidence(events, items)
        for event in range(0, len(events.ts), 5):
            alone = model.evidence(events.pick(slice(event, event + 1)), items)
            np.testing.assert_allclose(alone.importance[0], whole.importance[event], atol=1e-6)
            assert (alone.index[0] < 0) == (whole.index[event] < 0)
            if alone.index[0] >= 0:
                mine, theirs = alone.values[alone.index[0]], whole.values[whole.index[event]]
                np.testing.assert_allclose(mine, theirs, atol=1e-6)

    def test_words_are_evidence_and_what_cannot_be_read_yet_is_none(
        self, model: InterestModel
    ) -> None:
        """With an item or without one; other events are what they are without words."""
        items, events = contract_items(), contract_events()
        texts = TextTable(contract_items(5).vectors[:4])
        text = np.random.default_rng(4).integers(UNKNOWN_TEXT, 4, len(events.ts)).astype(np.int32)
        spoken = events._replace(text=text)
        plain, found = model.evidence(events, items), model.evidence(spoken, items, texts)
        weighs = plain.importance.any(axis=1) | found.importance.any(axis=1)
        assert np.linalg.norm(found.values, axis=1).max() <= 1.0 + 1e-6
        assert np.all(found.index[weighs & (text >= 0)] >= 0)
        assert np.all(found.index[weighs & (text == UNKNOWN_TEXT)] == -1)
        for event in np.flatnonzero(text == NO_TEXT):
            assert (plain.index[event] < 0) == (found.index[event] < 0)
            np.testing.assert_allclose(plain.importance[event], found.importance[event], atol=1e-6)
            if found.index[event] >= 0:
                before, after = plain.values[plain.index[event]], found.values[found.index[event]]
                np.testing.assert_allclose(before, after, atol=1e-6)
        for one in range(0, len(text), 3):
            alone = model.evidence(spoken.pick(slice(one, one + 1)), items, texts)
            assert (alone.index[0] < 0) == (found.index[one] < 0)
            if alone.index[0] >= 0:
                mine, theirs = alone.values[alone.index[0]], found.values[found.index[one]]
                np.testing.assert_allclose(mine, theirs, atol=1e-6)

    def test_words_are_passed_over_where_there_is_no_table(self, model: InterestModel) -> None:
        """So a model that cannot read loses nothing of what it knew."""
        items, events = contract_items(), contract_events()
        spoken = events._replace(text=np.full(len(events.ts), UNKNOWN_TEXT, np.int32))
        plain, found = (model.evidence(some, items) for some in (events, spoken))
        for mine, theirs in zip(found.arrays, plain.arrays, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_a_users_query_is_its_own(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        """Whatever other users are asked about."""
        banks = contract_banks(interest)
        whole = model.query(banks, 1e9 + 50.0)
        for user in range(len(banks.t_ref)):
            alone = model.query(banks.pick(slice(user, user + 1)), 1e9 + 50.0)
            for mine, theirs in zip(alone, whole.of(user), strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-5)

    def test_a_moment_before_the_last_event_counts_as_that(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        """Late events must not make a profile older than it is."""
        banks = contract_banks(interest)
        early, exact = model.query(banks, 0.0), model.query(banks, banks.t_ref)
        for mine, theirs in zip(early, exact, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_everybody_without_events_asks_for_the_same(
        self, model: InterestModel, interest: InterestSettings
    ) -> None:
        """At any moment."""
        lives = len(interest.half_lives_s), len(interest.negative_half_lives_s)
        query = model.query(empty_banks(3, *lives, CONTRACT_DIMS), np.array([0.0, 1e9, 2e9]))
        for part in query:
            assert np.isfinite(part).all()
            np.testing.assert_allclose(part, np.repeat(part[:1], 3, axis=0), atol=1e-6)


CONTRACT_DIMS = 8
"""D of the items that an interest model under test must take."""


def contract_items(n: int = 12) -> ItemTable:
    """Items of unit vectors, every third one cold, the last one silent."""
    vectors = np.random.default_rng(1).normal(size=(n, CONTRACT_DIMS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[-1] = 0.0
    return ItemTable(vectors, np.arange(n) % 3 != 0)


def contract_events(n: int = 40) -> FoldBatch:
    """Events of all sorts, some of unknown items."""
    rng = np.random.default_rng(2)
    kinds = np.array(["click", "dislike", "rating", "impression", "purchase"], object)
    return FoldBatch(
        rng.integers(-1, 12, n).astype(np.int32),
        1e9 - rng.uniform(0.0, 1e6, n),
        kinds[rng.integers(0, len(kinds), n)],
        np.where(rng.random(n) < 0.3, np.nan, rng.integers(1, 6, n)),
    )


def contract_banks(interest: InterestSettings, n: int = 5) -> Banks:
    """The evidence of some users, the last one of whom is unknown."""
    rng = np.random.default_rng(3)
    n_good = len(interest.half_lives_s)
    n_lives = n_good + len(interest.negative_half_lives_s)
    mass = rng.exponential(2.0, (n, n_lives)).astype(np.float32)
    unit = rng.normal(size=(n, n_lives, CONTRACT_DIMS)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    t_ref = 1e9 - rng.uniform(0.0, 100.0, n)
    mass[-1], t_ref[-1] = 0.0, -np.inf
    return split_banks(unit * mass[:, :, None], mass, t_ref, n_good)
