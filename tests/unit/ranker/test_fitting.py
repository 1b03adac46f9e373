"""The fit: planted features are found, noise is refused, probabilities come true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from recsys.ranker import smooth
from recsys.ranker.calibrating import fit_calibration, of_slates
from recsys.ranker.calibration import Calibration, calibration_error, reliability, shares
from recsys.ranker.fitting import fit_ranker
from recsys.ranker.model import Ranker
from recsys.ranker.options import AlphaKind, RankerSettings
from recsys.ranker.samples import Samples, ndcg_of

OPTIONS = RankerSettings(features=("short_taste", "long_taste", "graph", "age"))
Q, C = 600, 30


def planted(rng: np.random.Generator, weights: list[float]) -> Samples:
    encoder = -np.sort(-rng.normal(0.0, 1.0, (Q, C)), axis=1)
    features = rng.normal(0.0, 1.0, (Q, C, 4)) * [0.1, 0.1, 1.0, 2.0]
    gumbel = rng.gumbel(0.0, 1.0, (Q, C))
    chosen = np.argmax(encoder + features @ np.array(weights) + gumbel, axis=1)
    return Samples(
        user=np.arange(Q) % 60,
        encoder=encoder.astype(np.float32),
        features=features.astype(np.float32),
        is_right=np.arange(C) == chosen[:, None],
        n_right=np.ones(Q, np.int64),
        profile=np.stack([np.ones(Q), rng.normal(0, 1, Q), rng.normal(0, 1, Q)], axis=1),
        gap_s=10.0 ** rng.uniform(2, 6.5, Q),
    )


def like(options: RankerSettings = OPTIONS) -> Ranker:
    return Ranker.identity(options, {})


def test_what_was_planted_is_found(rng: np.random.Generator) -> None:
    found = fit_ranker(planted(rng, [0.0, 10.0, 1.0, 0.0]), OPTIONS, like(), 1)
    assert found.figures["chosen"] == "fitted"
    assert found.weights["long_taste"] == pytest.approx(10.0, rel=0.4)
    assert found.weights["graph"] == pytest.approx(1.0, rel=0.4)
    assert abs(found.weights["age"]) < 0.15 and found.weights["short_taste"] < 3.0
    new = planted(rng, [0.0, 10.0, 1.0, 0.0])
    gain = ndcg_of(new, smooth.scores(new, found)).mean() - ndcg_of(new, new.encoder).mean()
    assert gain > 0.1


def test_noise_leaves_the_encoder_alone(rng: np.random.Generator) -> None:
    refused = 0
    for _ in range(5):
        samples = planted(rng, [0.0, 0.0, 0.0, 0.0])
        found = fit_ranker(samples, OPTIONS, like(), 1, n_bootstrap=100)
        refused += found.is_identity
    assert refused >= 3
    assert found.calibration != Calibration()


def test_too_few_questions_fit_nothing(rng: np.random.Generator) -> None:
    found = fit_ranker(planted(rng, [0, 9, 1, 0]).pick(slice(0, 100)), OPTIONS, like(), 1)
    assert found.is_identity and found.figures["n_queries"] == 100


@pytest.mark.parametrize("kind", ["fixed", "scheduled", "predicted"])
def test_the_slope_is_that_of_the_loss(kind: AlphaKind, rng: np.random.Generator) -> None:
    samples = planted(rng, [0.0, 10.0, 1.0, 0.0]).pick(slice(0, 50))
    scale = smooth.spreads(samples)
    problem = smooth._problem(samples, scale, ([2, 3], [0, 1]), replace_alpha(kind))
    exact = {"inputs": problem.inputs.astype(np.float64), "tastes": problem.tastes}
    problem = replace(problem, **exact)
    at = np.array([1.0, 0.3, -0.2, 0.4, 0.2, *([0.1, -0.3, 0.2] if kind == "predicted" else [])])
    near = approx_fprime(at, lambda x: smooth._loss(x, problem, 0.01)[0], 3e-3)
    np.testing.assert_allclose(smooth._loss(at, problem, 0.01)[1], near, atol=2e-3)


def replace_alpha(kind: AlphaKind) -> RankerSettings:
    return OPTIONS.model_copy(update={"alpha": kind})


def test_a_schedule_and_a_prediction_are_fitted_too(rng: np.random.Generator) -> None:
    samples = planted(rng, [6.0, 6.0, 0.0, 0.0])
    for kind in ("scheduled", "predicted"):
        options = replace_alpha(kind)  # type: ignore[arg-type]
        found = smooth.fit(samples, options, 1e-3, like(options))
        assert found.alpha.kind == kind and found.pull[0] > 3.0
        base = ndcg_of(samples, samples.encoder).mean()
        assert ndcg_of(samples, smooth.scores(samples, found)).mean() > base + 0.02


def test_ndcg_of_samples_counts_places_and_what_is_missed() -> None:
    blank = np.zeros((2, 3, 0), np.float32)
    samples = Samples(
        user=np.arange(2),
        encoder=np.array([[3.0, 2.0, 1.0], [1.0, 1.0, -np.inf]], np.float32),
        features=blank,
        is_right=np.array([[False, True, False], [False, True, False]]),
        n_right=np.array([2, 1]),
        profile=np.zeros((2, 3)),
        gap_s=np.zeros(2),
    )
    second = 1 / np.log2(3)
    assert ndcg_of(samples, samples.encoder).tolist() == pytest.approx(
        [second / (1 + second), second]
    )


def test_calibrated_probabilities_come_true(rng: np.random.Generator) -> None:
    scores = rng.normal(0.0, 1.0, (4_000, 20))
    chosen = np.argmax(scores + rng.gumbel(0.0, 1.0, scores.shape), axis=1)
    is_right = np.arange(20) == chosen[:, None]
    loud = 5.0 * scores  # five times as sure as it should be
    found = fit_calibration(loud[:2_000], is_right[:2_000], 5)
    assert found.temperature == pytest.approx(5.0, rel=0.15)
    later = (loud[2_000:], is_right[2_000:])
    before, after = (
        calibration_error(reliability(*of_slates(*later, some, 5)))
        for some in (Calibration(), found)
    )
    assert before > 0.1 and after < 0.02
    assert np.all(np.diff(found.apply(np.array([3.0, 1.0, 0.5]))) < 0)


def test_reliability_has_bins_of_as_many(rng: np.random.Generator) -> None:
    p = rng.random(1_000)
    bins = reliability(p, rng.random(1_000) < p)
    assert len(bins) == 10 and {one["n"] for one in bins} == {100}
    assert calibration_error(bins) < 0.06
    assert reliability(np.zeros(0), np.zeros(0, bool)) == [] and calibration_error([]) == 0.0
    alike = reliability(np.full(9, 0.2), np.arange(9) < 3)
    assert alike == [{"said": pytest.approx(0.2), "observed": pytest.approx(1 / 3), "n": 9}]
    assert shares(np.array([0.0, 0.0, -np.inf])).tolist() == [0.5, 0.5, 0.0]
