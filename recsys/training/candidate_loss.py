"""Softmax cross-entropy over candidates with trend, cold items and masks, a slice at a time.

    logit_pc = max_q q_pq.x_c + w_p.T_pc                     a warm candidate
             = max_q q_pq.base_c + w'_p.T_pc + offset_p      one that is cold for this question
    loss_p   = mean over right answers a of  log sum_c exp(logit_pc + correction_c) - logit_pa

The matrix of questions and candidates is never whole in memory: of each slice the loss and all its
gradients are computed at once. On a CPU the part that is no matrix product is compiled; elsewhere
``plain_loss``, the same in tensor operations, is differentiated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from recsys.training.batches import Batch, Candidates

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


def candidate_loss(scored: Scored, batch: Batch) -> Tensor:
    """Mean loss of the P questions of a batch."""
    if scored.query.device.type == "cpu":
        loss: Tensor = _Sliced.apply(batch.candidates, *scored)  # type: ignore[no-untyped-call]
        return loss
    return plain_loss(scored, batch.candidates)


def plain_loss(scored: Scored, candidates: Candidates) -> Tensor:
    """The same by tensor operations, on any device; holds the whole (P, C) matrix."""
    device = scored.query.device
    logits = plain_logits(scored, candidates)
    counts = torch.from_numpy(np.diff(candidates.target_bounds)).to(device)
    which = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)
    right = torch.from_numpy(candidates.target).to(device)
    lost = torch.logsumexp(logits, 1)[which] - logits[which, right]
    return (lost / counts[which]).sum() / len(counts)


def plain_logits(scored: Scored, candidates: Candidates) -> Tensor:
    """(P, C) logits; -1e30 where an item is no candidate."""
    device = scored.query.device
    cold = torch.from_numpy(is_cold(candidates)).to(device)
    trend = torch.from_numpy(candidates.trend).to(device)[candidates.cell]
    warm = torch.einsum("pqd,cd->pqc", scored.query, scored.warm).amax(1)
    text = torch.einsum("pqd,cd->pqc", scored.query, scored.cold).amax(1)
    warm = warm + torch.einsum("pch,ph->pc", trend, scored.warm_trend)
    text = text + torch.einsum("pch,ph->pc", trend, scored.cold_trend) + scored.cold_offset[:, None]
    correction = torch.from_numpy(corrections(candidates)).to(device)
    return torch.where(cold, text, warm) + correction


def is_cold(candidates: Candidates) -> Any:
    """(P, C) bool, candidates without a residual for a question."""
    since = candidates.cold_since[None]
    return (since > candidates.cutoff[:, None]) | np.isinf(since)


def corrections(candidates: Candidates) -> Any:
    """(P, C) float32 what is added to logits: logQ, or -1e30 for what is no candidate."""
    now = candidates.as_of[:, None]
    had = (candidates.born < now) & (candidates.gone > now)
    fresh = ~(candidates.touched[candidates.run] < now)
    added = np.where(had & fresh, np.maximum(candidates.correction, NEVER), NEVER)
    counts = np.diff(candidates.target_bounds)
    added[np.repeat(np.arange(len(counts)), counts), candidates.target] = 0.0
    return added.astype(np.float32)


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, candidates: Candidates, *scored: Tensor) -> Tensor:
        given = Scored(*(np.ascontiguousarray(x.detach().numpy()) for x in scored))
        gradients = Scored(*(np.zeros(x.shape, np.float32) for x in given))
        n_questions, n_candidates = len(candidates.run), len(candidates.born)
        size = max(1, _SLICE_CELLS // n_candidates)
        loss = 0.0
        for first in range(0, n_questions, size):
            part = slice(first, min(first + size, n_questions))
            loss += _slice_loss(given, candidates, part, gradients)
        ctx.gradients = gradients
        return torch.tensor(loss / n_questions)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:  # type: ignore[override]
        return None, *(torch.from_numpy(g) * upstream for g in ctx.gradients)


def _slice_loss(given: Any, candidates: Candidates, part: slice, gradients: Any) -> float:
    """Loss of some questions; their gradients are added to those given."""
    query = given.query[part]
    n, n_queries, n_dims = query.shape
    flat = query.reshape(-1, n_dims)
    warm = (flat @ given.warm.T).reshape(n, n_queries, -1)
    any_cold = bool(
        np.isinf(candidates.cold_since).any() or np.isfinite(candidates.cutoff[part]).any()
    )
    cold = (flat @ given.cold.T).reshape(n, n_queries, -1) if any_cold else warm[:, :, :0]
    logits = np.empty((n, warm.shape[2]), np.float32)
    weights = (given.warm_trend[part], given.cold_trend[part], given.cold_offset[part])
    times = (candidates.as_of[part], candidates.cutoff[part], candidates.run[part])
    items = (candidates.born, candidates.gone, candidates.cold_since, candidates.correction)
    places = (candidates.cell[part], candidates.trend, candidates.touched)
    bounds = candidates.target_bounds[part.start : part.stop + 1]
    _logits(warm, cold, weights, times, items, places, bounds, candidates.target, logits)
    highest = logits.max(1, keepdims=True)
    share = np.exp(logits - highest)
    total = share.sum(1, keepdims=True)
    counts = np.diff(bounds)
    which = np.repeat(np.arange(n), counts)
    right = candidates.target[bounds[0] : bounds[-1]]
    log_total = np.log(total[:, 0]) + highest[:, 0]
    loss = float(((log_total[which] - logits[which, right]) / counts[which]).sum())
    share /= total
    np.subtract.at(share, (which, right), (1.0 / counts[which]).astype(np.float32))
    share /= len(candidates.run)
    out = tuple(
        g[part] for g in (gradients.warm_trend, gradients.cold_trend, gradients.cold_offset)
    )
    _spread(share, warm, cold, times, items, places, out)
    flat_warm = warm.reshape(n * n_queries, -1)
    gradients.warm[:] += flat_warm.T @ flat
    to_query = flat_warm @ given.warm
    if any_cold:
        flat_cold = cold.reshape(n * n_queries, -1)
        gradients.cold[:] += flat_cold.T @ flat
        to_query += flat_cold @ given.cold
    gradients.query[part] += to_query.reshape(query.shape)
    return loss


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _logits(
    warm: Any, cold: Any, weights: Any, times: Any, items: Any, places: Any, bounds: Any,
    target: Any, out: Any,
) -> None:  # fmt: skip
    as_of, cutoff, run = times
    born, gone, cold_since, correction = items
    cell, trend, touched = places
    n_queries, n_lives = warm.shape[1], trend.shape[2]
    for p in range(out.shape[0]):
        for c in range(out.shape[1]):
            now = as_of[p]
            if not (born[c] < now < gone[c]) or touched[run[p], c] < now or correction[c] < NEVER:
                out[p, c] = NEVER
                continue
            out[p, c] = correction[c]
        for e in range(bounds[p], bounds[p + 1]):
            out[p, target[e]] = 0.0
        for c in range(out.shape[1]):
            if out[p, c] == NEVER:
                continue
            total = out[p, c]
            if cold_since[c] > cutoff[p] or cold_since[c] == np.inf:
                best = cold[p, 0, c]
                for q in range(1, n_queries):
                    best = max(best, cold[p, q, c])
                total += best + weights[2][p]
                for h in range(n_lives):
                    total += weights[1][p, h] * trend[cell[p], c, h]
            else:
                best = warm[p, 0, c]
                for q in range(1, n_queries):
                    best = max(best, warm[p, q, c])
                total += best
                for h in range(n_lives):
                    total += weights[0][p, h] * trend[cell[p], c, h]
            out[p, c] = total


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _spread(
    gradient: Any, warm: Any, cold: Any, times: Any, items: Any, places: Any, out: Any
) -> None:
    """Turn dots into their gradients, in place, and add those of the trend weights."""
    cutoff, cold_since = times[1], items[2]
    cell, trend = places[0], places[1]
    n_queries, n_lives = warm.shape[1], trend.shape[2]
    for p in range(gradient.shape[0]):
        for c in range(gradient.shape[1]):
            g = gradient[p, c]
            is_cold = cold_since[c] > cutoff[p] or cold_since[c] == np.inf
            dots = cold if is_cold else warm
            if is_cold:
                for q in range(n_queries):
                    warm[p, q, c] = 0.0
            elif cold.shape[2] > 0:
                for q in range(n_queries):
                    cold[p, q, c] = 0.0
            best = 0
            for q in range(1, n_queries):
                if dots[p, q, c] > dots[p, best, c]:
                    best = q
            for q in range(n_queries):
                dots[p, q, c] = g if q == best else np.float32(0.0)
            if g == 0.0:
                continue
            weights = out[1] if is_cold else out[0]
            for h in range(n_lives):
                weights[p, h] += g * trend[cell[p], c, h]
            if is_cold:
                out[2][p] += g
