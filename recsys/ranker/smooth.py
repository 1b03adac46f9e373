"""The weights of greatest NDCG@10, made smooth: each candidate stands partly before another.

    rank_t = 1 + sum over other candidates j of sigmoid((s_j - s_t) / T)
    NDCG   ~ sum over right answers t of 1/log2(1 + rank_t)  /  that of the best possible ranks
    s_i    = w_0 encoder_i + sum_f w_f z_if + pull ((1 - alpha) short_i + alpha long_i)

(approximate NDCG: Qin, Liu and Li, 2010), every feature ``z`` at unit spread within a question. A
penalty pulls the weights towards the encoder alone: ``w_0`` = 1, all others 0. What both tastes
weigh is at least 0. Afterwards all is divided by ``w_0``, so that the encoder's weight is 1.

A softmax over the candidates was tried first: its likelihood is made deep in the list, and it was
right less often at the top (NDCG@10 .106 beside .131 on MovieLens-100K, the encoder having .075).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from recsys.ranker.alpha import N_PROFILE, Alpha, checked
from recsys.ranker.model import LONG, SHORT, Ranker
from recsys.ranker.options import RankerSettings
from recsys.ranker.samples import Samples
from recsys.ranking import Floats

Doubles = npt.NDArray[np.float64]

TEMPERATURE = 1.0
LEAST_SPREAD = 1e-6
"""A feature of less is the same for all items."""
K = 10

_LEAST_ENCODER = 0.2
_ROUNDS = 100


@dataclass(frozen=True)
class _Problem:
    """What is maximised, all in memory; every question has a right answer."""

    inputs: Floats  # (Q, C, 1 + F') the encoder's score, then standardised features but the tastes
    tastes: Floats | None  # (Q, C, 2) standardised alike: short, long
    there: npt.NDArray[np.bool_]  # (Q, C)
    query: npt.NDArray[np.int64]  # (M,) of each right answer, rising
    place: npt.NDArray[np.int64]  # (M,) among the candidates
    worth: Doubles  # (M,) of rank 0
    profile: Doubles  # (Q, P)
    left: Doubles  # (Q,) 2^(-gap / tau) where alpha is scheduled, else 1
    is_predicted: bool


def fit(samples: Samples, options: RankerSettings, l2: float, like: Ranker) -> Ranker:
    """The model of some questions.

    Args:
        samples: questions, at least one with a right answer among its candidates.
        options: which features, and how alpha is found.
        l2: strength of the penalty, in the unit of NDCG.
        like: whose neighbours the model keeps.

    Returns:
        Without calibration.
    """
    kept = samples.pick(np.flatnonzero(samples.is_right.any(axis=1)))
    names, scale = list(options.features), spreads(kept)
    is_flat = scale < LEAST_SPREAD
    scale = np.where(is_flat, 1.0, scale)
    pair = [names.index(name) for name in (SHORT, LONG)] if checked(options) else []
    if pair:
        scale[pair] = np.sqrt(np.square(scale[pair]).mean())
    plain = [f for f in range(len(names)) if f not in pair and not is_flat[f]]
    problem = _problem(kept, scale, (plain, pair), options)
    n_theta = N_PROFILE if problem.is_predicted else 0
    start = np.concatenate([[1.0], np.zeros(len(plain)), [0.05] * len(pair), np.zeros(n_theta)])
    bounds: list[tuple[float | None, float | None]] = [
        (_LEAST_ENCODER, None),
        *[(None, None)] * len(plain),
        *[(0.0, None)] * len(pair),
        *[(-5.0, 5.0)] * n_theta,
    ]
    given = (problem, l2)
    stop = {"maxiter": _ROUNDS}
    found = minimize(_loss, start, given, "L-BFGS-B", True, bounds=bounds, options=stop).x
    weights = dict.fromkeys(names, 0.0)
    for f, value in zip([*plain, *pair], found[1 : 1 + len(plain) + len(pair)], strict=True):
        weights[names[f]] = float(value / scale[f] / found[0])
    theta = tuple(found[len(found) - n_theta :].tolist()) if n_theta else ()
    alpha = Alpha(options.alpha if pair else "fixed", theta)
    return Ranker(weights, options, alpha, neighbours=like.neighbours)


def spreads(samples: Samples) -> Doubles:
    """(F,) root mean square of each feature about its mean in each question."""
    there = np.isfinite(samples.encoder)[..., None]
    n = np.maximum(there.sum(axis=1), 1)
    mean = samples.features.sum(axis=1, dtype=np.float64) / n
    square = (np.square(samples.features) * there).sum(axis=1, dtype=np.float64) / n
    found: Doubles = np.sqrt(np.maximum(square - np.square(mean), 0.0).mean(axis=0))
    return found


def scores(samples: Samples, ranker: Ranker) -> Floats:
    """(Q, C) scores of a model; -inf in empty places."""
    names = list(ranker.options.features)
    weight = np.array([ranker.weights[name] for name in names])
    used = np.tile(weight, (len(samples), 1))
    if ranker.alpha.kind != "fixed" and checked(ranker.options):
        pull, base = ranker.pull
        life_s = ranker.options.short_half_life_s
        alpha = ranker.alpha.share(base, samples.profile, samples.gap_s, life_s)
        used[:, names.index(SHORT)] = pull * (1.0 - alpha)
        used[:, names.index(LONG)] = pull * alpha
    more = np.einsum("qcf,qf->qc", samples.features, used.astype(np.float32))
    found: Floats = samples.encoder + more
    return found


def _problem(
    samples: Samples,
    scale: Doubles,
    columns: tuple[list[int], list[int]],
    options: RankerSettings,
) -> _Problem:
    plain, pair = columns
    standard = np.asarray(samples.features / scale, np.float32)
    there = np.isfinite(samples.encoder)
    encoder = np.where(there, samples.encoder, np.float32(0.0))[..., None]
    query, place = np.nonzero(samples.is_right)
    best = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, K + 2)))])
    gap, is_scheduled = samples.gap_s, options.alpha == "scheduled"
    left = np.exp2(-gap / options.short_half_life_s) if is_scheduled else np.ones(len(gap))
    return _Problem(
        inputs=np.concatenate([encoder, standard[:, :, plain]], axis=2),
        tastes=standard[:, :, pair] if pair else None,
        there=there,
        query=query,
        place=place,
        worth=1.0 / best[np.minimum(samples.n_right[query], K)] / len(samples),
        profile=samples.profile,
        left=left,
        is_predicted=options.alpha == "predicted" and bool(pair),
    )


def _loss(at: Doubles, problem: _Problem, l2: float) -> tuple[float, Doubles]:
    """Minus the smooth NDCG, and its gradient; ``at``: encoder, features, short, long, theta."""
    n = problem.inputs.shape[2]
    total: Floats = problem.inputs @ at[:n].astype(np.float32)
    alpha = np.zeros(0)
    if problem.tastes is not None:
        alpha, pull = _alpha(at, problem)
        mix = np.stack([pull * (1.0 - alpha), pull * alpha], axis=1).astype(np.float32)
        total = total + np.einsum("qct,qt->qc", problem.tastes, mix)
    value, slope = _smooth(total, problem)
    down = np.zeros(len(at))
    down[:n] = np.tensordot(slope, problem.inputs, axes=([0, 1], [0, 1]))
    if problem.tastes is not None:
        down[n:] = _taste_slopes(at, problem, slope, alpha)
    away = at - np.eye(len(at))[0]
    return l2 * float(away @ away) - value, 2.0 * l2 * away - down


def _smooth(total: Floats, problem: _Problem) -> tuple[float, Floats]:
    """The smooth NDCG of scores (Q, C), and its slope (Q, C)."""
    query, place = problem.query, problem.place
    mine = total[query, place][:, None]
    before = expit((total[query] - mine) / np.float32(TEMPERATURE)) * problem.there[query]
    before[np.arange(len(query)), place] = 0.0
    rank = 1.0 + before.sum(axis=1, dtype=np.float64)
    value = float((problem.worth / np.log2(1.0 + rank)).sum())
    by_rank = -problem.worth * np.log(2.0) / (np.square(np.log1p(rank)) * (1.0 + rank))
    moves = before * (1.0 - before) * (by_rank / TEMPERATURE).astype(np.float32)[:, None]
    firsts = np.flatnonzero(np.diff(query, prepend=-1))
    slope = np.add.reduceat(moves, firsts, axis=0)
    slope[query, place] -= moves.sum(axis=1)
    return value, slope


def _alpha(at: Doubles, problem: _Problem) -> tuple[Doubles, float]:
    """(Q,) the share of the long taste, and what both weigh."""
    n = problem.inputs.shape[2]
    pull = float(at[n] + at[n + 1])
    if problem.is_predicted:
        return expit(problem.profile @ at[n + 2 :]), pull
    base = at[n + 1] / pull if pull > 0.0 else 0.5
    return 1.0 - (1.0 - base) * problem.left, pull


def _taste_slopes(at: Doubles, problem: _Problem, slope: Floats, alpha: Doubles) -> Doubles:
    """The gradient by the weights of the two tastes, and by theta."""
    assert problem.tastes is not None
    n = problem.inputs.shape[2]
    by_short, by_long = np.einsum("qc,qct->tq", slope, problem.tastes).astype(np.float64)
    if problem.is_predicted:
        both = float(((1.0 - alpha) * by_short + alpha * by_long).sum())
        by_alpha = (at[n] + at[n + 1]) * (by_long - by_short) * alpha * (1.0 - alpha)
        return np.array([both, both, *(by_alpha @ problem.profile)])
    left = problem.left  # pull (1 - alpha) = left * short's weight
    return np.array([(left * by_short + (1.0 - left) * by_long).sum(), by_long.sum()])
