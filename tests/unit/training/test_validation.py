"""The validation tail, and the balances that are tried on it."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.training.fitting import Material, balance_of, fit
from recsys.training.learner import Learner
from recsys.training.network import Balance
from recsys.training.sequences import pack, user_rows
from recsys.training.validation import BALANCES, NOTHING_ASKED, TailSums, Validation
from tests.unit.training.logs import catalog, events, settings, text_vectors


def test_a_network_in_another_balance_ranks_as_was_found_on_the_tail(
    rng: np.random.Generator,
) -> None:
    log = events(rng)
    made = Material.of(log, catalog(), text_vectors(rng), settings())
    learner = Learner(made.log, settings(), 20, 3)
    runs = pack(made.rows)
    for _ in range(6):
        learner.step(runs)
    since = float(np.quantile(log.ts, 0.6))
    validation = Validation(made.log, made.log, settings(), since)
    tried = validation.sums(learner.network, runs)
    assert tried.n > 50 and len(set(tried.ndcg.round(6))) > 3, "the balance matters"
    state = {name: value.clone() for name, value in learner.state().items()}
    for at, balance in enumerate(BALANCES):
        learner.restore(state)
        learner.network.rebalance(balance)
        found = validation.sums(learner.network, runs)
        assert found.ndcg[0] == pytest.approx(tried.ndcg[at], abs=0.02)
        assert found.hits[0] == pytest.approx(tried.hits[at], abs=1.0)


def test_the_best_balance_is_the_first_of_the_highest() -> None:
    ndcg = np.zeros(len(BALANCES))
    ndcg[[4, 7]] = 3.0
    best = TailSums(ndcg, 2 * ndcg, 6.0).best()
    assert (best["ndcg"], best["hits"], best["n"]) == (0.5, 1.0, 6.0)
    assert balance_of(best) == BALANCES[4]
    assert balance_of(NOTHING_ASKED.best()) == Balance(), "as learned where nothing was asked"
    assert balance_of({}) == Balance()


def test_the_balance_that_the_pilot_chose_is_that_of_the_model(rng: np.random.Generator) -> None:
    log, text = events(rng, n_users=60), text_vectors(rng)
    fitted = fit(log, catalog(), text, settings("train.patience=1"))
    assert balance_of(fitted.best) in BALANCES
    again = Validation(
        fitted.learner.surroundings, fitted.learner.surroundings, settings(), float(log.ts.min())
    )
    assert again.sums(fitted.learner.network, pack(user_rows(log, settings()))).n > 0
