"""Softmax cross-entropy over candidates with trend, cold items and masks, a slice at a time.

    logit_pc = max_q q_pq.x_c + w_p.T_pc                     a warm candidate
             = max_q q_pq.base_c + w'_p.T_pc + offset_p      one that is cold for this question,
                                                             with an offset apart where T is 0
             + f_p.2^(-age_pc/tau)                           of both, where births are known
    loss_p   = mean over right answers a of  log sum_c exp(logit_pc + correction_c) - logit_pa

The matrix of questions and candidates is never whole in memory: of each slice the loss and all its
gradients are computed at once. What is no matrix product is compiled, for a CPU; ``plain_loss`` is
the same by tensor operations, for other devices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from recsys.training.batches import Batch, Candidates
from recsys.transitions import chance_feature, chances

_SLICE_CELLS = 1 << 20
NEVER = -1e30


class Scored(NamedTuple):
    """What the loss is differentiated by."""

    warm: Tensor
    """(C, D) candidates with their residuals."""
    cold: Tensor
    """(C, D) candidates by text alone."""
    query: Tensor
    """(P, Q, D)."""
    warm_trend: Tensor
    """(P, Ht)."""
    cold_trend: Tensor
    """(P, Ht)."""
    cold_offset: Tensor
    """(P,)."""
    new_offset: Tensor
    """(P,) of cold items without any trend."""
    fresh: Tensor
    """(P, Ht) of what is left of the items' birth."""
    strength: Tensor
    """(1,) of the transitions."""


def candidate_loss(scored: Scored, batch: Batch) -> Tensor:
    """Mean loss of the P questions of a batch, on a CPU."""
    loss: Tensor = _Sliced.apply(batch.candidates, *scored)  # type: ignore[no-untyped-call]
    return loss


def transition_features(candidates: Candidates, part: slice) -> Any:
    """(n, C) float32 what transitions say of some questions; zeros where there are none."""
    shape = (part.stop - part.start, len(candidates.born))
    out = np.zeros(shape, np.float32)
    if candidates.past is None or candidates.transitions is None or candidates.n_items == 0:
        return out
    chances(candidates.past.part(part).arrays, candidates.transitions, candidates.slot, out)
    return chance_feature(out, candidates.n_items)


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, candidates: Candidates, *scored: Tensor) -> Tensor:
        arrays: Any = [np.ascontiguousarray(x.detach().numpy()) for x in scored]
        zeros: Any = [np.zeros(x.shape, np.float32) for x in arrays]
        given, gradients = Scored(*arrays), Scored(*zeros)
        n_questions, n_candidates = len(candidates.run), len(candidates.born)
        size = max(1, _SLICE_CELLS // n_candidates)
        loss = 0.0
        trend = _seen_trend(candidates)
        for first in range(0, n_questions, size):
            part = slice(first, min(first + size, n_questions))
            loss += _slice_loss(given, candidates, part, gradients, trend)
        ctx.gradients = gradients
        return torch.tensor(loss / n_questions)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return None, *(torch.from_numpy(g) * upstream for g in ctx.gradients)


class _Dots(NamedTuple):
    """Dot products of one slice of questions with all candidates, and what each candidate is."""

    warm: Any
    """(n, Q, C), later their gradients."""
    cold: Any
    """(n, Q, C), or (n, Q, 0) where nothing is cold."""
    role: Any
    """(n, C) uint8."""


_NONE, _WARM, _COLD = 0, 1, 2
_HEADS = slice(3, 8)  # of Scored: the weights that a user gives to trends and births


def _seen_trend(candidates: Candidates) -> tuple[Any, Any, Any]:
    """(G, Ht, C) trends, (G, C) whether an item, where it is cold, shows none, and births."""
    features = np.ascontiguousarray(candidates.trend.transpose(0, 2, 1))
    births = np.ascontiguousarray(candidates.fresh.transpose(0, 2, 1))
    return features, candidates.muted | ~features.any(axis=1), births


def _slice_loss(
    given: Any, candidates: Candidates, part: slice, gradients: Any, seen: tuple[Any, Any, Any]
) -> float:
    """Loss of some questions; their gradients are added to those given."""
    flat = given.query[part].reshape(-1, given.query.shape[2])
    dots = _dots(given, candidates, part)
    trend = (candidates.cell[part], *seen)
    weights = tuple(head[part] for head in given[_HEADS])
    bounds = candidates.target_bounds[part.start : part.stop + 1]
    right = candidates.target[bounds[0] : bounds[-1]]
    counts = np.diff(bounds)
    which = np.repeat(np.arange(len(counts)), counts)
    logits = np.full(dots.role.shape, NEVER, np.float32)
    _add_up(dots, weights, trend, logits)
    pairs = transition_features(candidates, part)
    if candidates.past is not None:
        logits += given.strength * pairs
    own = logits[which, right]
    logits += candidates.correction
    logits[which, right] = own  # a right answer is there for certain
    loss, share = _softmax_loss(logits, which, right, counts)
    share /= len(candidates.run)
    gradients.strength[...] += float((share * pairs).sum())
    _spread(share, dots, trend, tuple(head[part] for head in gradients[_HEADS]))
    to_query = np.zeros_like(flat)
    for dot, items, to_items in (
        (dots.warm, given.warm, gradients.warm),
        (dots.cold, given.cold, gradients.cold),
    ):
        if dot.shape[2] > 0:
            matrix = dot.reshape(len(flat), -1)
            np.add(to_items, matrix.T @ flat, out=to_items)
            to_query += matrix @ items
    gradients.query[part] += to_query.reshape(given.query[part].shape)
    return loss


def _dots(given: Any, candidates: Candidates, part: slice) -> _Dots:
    query = given.query[part]
    flat, shape = query.reshape(-1, query.shape[2]), query.shape[:2]
    role = np.zeros((len(query), len(candidates.born)), np.uint8)
    times = (candidates.as_of[part], candidates.cutoff[part], candidates.run[part])
    spans = (candidates.born, candidates.gone, candidates.cold_since)
    _roles(times, spans, candidates.touched, role)
    bounds = candidates.target_bounds[part.start : part.stop + 1]
    right = candidates.target[bounds[0] : bounds[-1]]
    which = np.repeat(np.arange(len(query)), np.diff(bounds))
    since = candidates.cold_since[right]
    is_cold = (since > times[1][which]) | np.isposinf(since)
    role[which, right] = np.where(is_cold, _COLD, _WARM)
    warm = (flat @ given.warm.T).reshape(*shape, -1)
    if (role == _COLD).any():
        return _Dots(warm, (flat @ given.cold.T).reshape(*shape, -1), role)
    return _Dots(warm, warm[:, :, :0].copy(), role)


def _softmax_loss(logits: Any, which: Any, right: Any, counts: Any) -> tuple[float, Any]:
    """Sum of the losses of n questions, and (n, C) its gradient by the logits."""
    highest = logits.max(1, keepdims=True)
    share = np.exp(logits - highest)
    total = share.sum(1, keepdims=True)
    log_total = np.log(total[:, 0]) + highest[:, 0]
    loss = float(((log_total[which] - logits[which, right]) / counts[which]).sum())
    share /= total
    np.subtract.at(share, (which, right), (1.0 / counts[which]).astype(np.float32))
    return loss, share


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _roles(times: Any, spans: Any, touched: Any, role: Any) -> None:
    as_of, cutoff, run = times
    born, gone, cold_since = spans
    for p in range(role.shape[0]):
        now = as_of[p]
        for c in range(role.shape[1]):
            if born[c] < now < gone[c] and not touched[run[p], c] < now:
                is_cold = cold_since[c] > cutoff[p] or cold_since[c] == np.inf
                role[p, c] = _COLD if is_cold else _WARM


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add_up(dots: Any, weights: Any, trend: Any, logits: Any) -> None:
    """Logits (n, C) of a slice; what is no candidate keeps its value."""
    cell, features, is_new, births = trend
    n_candidates = logits.shape[1]
    warm, cold = np.empty(n_candidates, np.float32), np.empty(n_candidates, np.float32)
    for p in range(logits.shape[0]):
        seen = features[cell[p]]
        _nearest(dots.warm[p], warm)
        _weigh(weights[0][p], seen, warm)
        _weigh(weights[4][p], births[cell[p]], warm)
        if dots.cold.shape[2] > 0:
            _nearest(dots.cold[p], cold)
            for c in range(n_candidates):
                if is_new[cell[p], c]:
                    cold[c] += weights[3][p]
                else:
                    cold[c] += weights[2][p]
                    for h in range(seen.shape[0]):
                        cold[c] += weights[1][p, h] * seen[h, c]
            _weigh(weights[4][p], births[cell[p]], cold)
        for c in range(n_candidates):
            if dots.role[p, c] != _NONE:
                logits[p, c] = warm[c] if dots.role[p, c] == _WARM else cold[c]


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _spread(gradient: Any, dots: Any, trend: Any, heads: Any) -> None:
    """Turn dots into their gradients, in place, and add those of the trend weights."""
    cell, features, is_new, births = trend
    n_candidates = gradient.shape[1]
    warm, cold = np.empty(n_candidates, np.float32), np.empty(n_candidates, np.float32)
    for p in range(gradient.shape[0]):
        seen = features[cell[p]]
        for c in range(n_candidates):
            warm[c] = gradient[p, c] if dots.role[p, c] == _WARM else np.float32(0.0)
        _to_nearest(dots.warm[p], warm)
        _sum_up(seen, warm, heads[0][p])
        _sum_up(births[cell[p]], warm, heads[4][p])
        if dots.cold.shape[2] == 0:
            continue
        for c in range(n_candidates):
            cold[c] = gradient[p, c] if dots.role[p, c] == _COLD else np.float32(0.0)
        _to_nearest(dots.cold[p], cold)
        _sum_up(births[cell[p]], cold, heads[4][p])
        for c in range(n_candidates):
            if is_new[cell[p], c]:
                heads[3][p] += cold[c]
                cold[c] = 0.0
            else:
                heads[2][p] += cold[c]
        _sum_up(seen, cold, heads[1][p])


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _weigh(weights: Any, features: Any, out: Any) -> None:
    """Add weights (Ht,) times features (Ht, C) to out (C,)."""
    for h in range(features.shape[0]):
        for c in range(features.shape[1]):
            out[c] += weights[h] * features[h, c]


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _sum_up(features: Any, gradient: Any, out: Any) -> None:
    """Add features (Ht, C) times gradient (C,) to out (Ht,)."""
    for h in range(features.shape[0]):
        total = np.float32(0.0)
        for c in range(features.shape[1]):
            total += features[h, c] * gradient[c]
        out[h] += total


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _nearest(dot: Any, out: Any) -> None:
    """The largest of Q dot products (Q, C) into out (C,)."""
    out[:] = dot[0]
    for q in range(1, dot.shape[0]):
        for c in range(dot.shape[1]):
            out[c] = max(out[c], dot[q, c])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _to_nearest(dot: Any, gradient: Any) -> None:
    """Give a gradient (C,) to the query vector that is nearest to each candidate, 0 to others."""
    if dot.shape[0] == 1:
        dot[0] = gradient
        return
    for c in range(dot.shape[1]):
        best = 0
        for q in range(1, dot.shape[0]):
            if dot[q, c] > dot[best, c]:
                best = q
        for q in range(dot.shape[0]):
            dot[q, c] = gradient[c] if q == best else np.float32(0.0)
