"""The loss over candidates by tensor operations, on any device; ``candidate_loss`` is the formula.

A slice of questions at a time: its loss and all gradients are computed at once, so that neither
questions × candidates nor their trend features are ever whole in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from recsys.training.candidate_loss import NEVER, Scored, transition_features
from recsys.training.placing import Pairs, Placed

_SLICE_FLOATS = 1 << 24
_OF_QUESTIONS = slice(2, 8)  # of Scored: what has a row for each question


def plain_loss(scored: Scored, placed: Placed) -> Tensor:
    """Mean loss of the P questions of a batch."""
    loss: Tensor = _Slices.apply(placed, *scored)  # type: ignore[no-untyped-call]
    return loss


def plain_logits(scored: Scored, placed: Placed, part: slice) -> Tensor:
    """Logits of n questions of a batch.

    Args:
        scored: with the queries and the weights of these n questions alone.
        placed: of all P questions.
        part: which of them.

    Returns:
        (n, C); -1e30 where an item is no candidate.
    """
    trend = placed.trend[placed.cell[part]]  # (n, C, Ht)
    warm = torch.einsum("pqd,cd->pqc", scored.query, scored.warm).amax(1)
    text = torch.einsum("pqd,cd->pqc", scored.query, scored.cold).amax(1)
    warm = warm + torch.einsum("pch,ph->pc", trend, scored.warm_trend)
    known = torch.einsum("pch,ph->pc", trend, scored.cold_trend) + scored.cold_offset[:, None]
    seen = placed.seen[placed.cell[part]]
    text = text + torch.where(seen, known, scored.new_offset[:, None])
    own = torch.where(is_cold(placed, part), text, warm)
    births = placed.fresh[placed.cell[part]]
    own = own + torch.einsum("pch,ph->pc", births, scored.fresh[:, : births.shape[2]])
    pairs = _pairs(placed, part)
    if pairs is not None:
        own = own + scored.strength * pairs
    return own + corrections(placed, part)


def is_cold(placed: Placed, part: slice) -> Tensor:
    """(n, C) bool, candidates without a residual for a question."""
    since = placed.cold_since
    return (since > placed.cutoff[part, None]) | torch.isposinf(since)


def corrections(placed: Placed, part: slice) -> Tensor:
    """(n, C) float32 what is added to logits: logQ, or -1e30 for what is no candidate."""
    now = placed.as_of[part, None]
    had = (placed.born < now) & (placed.gone > now)
    fresh = ~(placed.touched[placed.run[part]] < now)
    added = torch.where(had & fresh, placed.correction.clamp(min=NEVER), NEVER)
    added[_right(placed, part)] = 0.0
    return added


class _Slices(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, placed: Placed, *scored: Tensor) -> Tensor:
        given = Scored(*(x.detach() for x in scored))
        gradients = Scored(*map(torch.zeros_like, given))
        loss = given.query.new_zeros(())
        for part in _parts(given, placed.n_questions):
            loss += _add_slice(given, placed, part, gradients)
        ctx.gradients = gradients
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return None, *(gradient * upstream for gradient in ctx.gradients)


def _parts(given: Scored, n_questions: int) -> Iterator[slice]:
    """Slices of questions that keep the largest tensor of each within bounds."""
    n_candidates, n_heads = len(given.warm), max(given.query.shape[1], given.warm_trend.shape[1])
    size = max(1, _SLICE_FLOATS // (n_candidates * n_heads))
    for first in range(0, n_questions, size):
        yield slice(first, min(first + size, n_questions))


def _add_slice(given: Scored, placed: Placed, part: slice, gradients: Scored) -> Tensor:
    """The share of some questions in the mean loss; their gradients are added to those given."""
    own = _of(given, part)
    for leaf in own:
        leaf.requires_grad_()
    which, right = _right(placed, part)
    bounds = placed.host.target_bounds
    weight = placed.weight[int(bounds[part.start]) : int(bounds[part.stop])]
    with torch.enable_grad():
        logits = plain_logits(own, placed, part)
        lost = torch.logsumexp(logits, 1)[which] - logits[which, right]
        loss = (lost * weight).sum() / placed.n_questions
    found = torch.autograd.grad(loss, own, allow_unused=True)
    for whole, gradient in zip(_of(gradients, part), found, strict=True):
        if gradient is not None:
            whole.add_(gradient)
    return loss.detach()


def _of(scored: Scored, part: slice) -> Scored:
    """Some questions, as views."""
    mine = range(len(scored))[_OF_QUESTIONS]
    return Scored(*(x[part] if n in mine else x.detach() for n, x in enumerate(scored)))


def _right(placed: Placed, part: slice) -> tuple[Tensor, Tensor]:
    """(m,) questions of a slice, counted from its first, and (m,) their right answers."""
    bounds = placed.host.target_bounds
    some = slice(int(bounds[part.start]), int(bounds[part.stop]))
    return placed.which[some] - part.start, placed.target[some]


def _pairs(placed: Placed, part: slice) -> Tensor | None:
    """(n, C) what transitions say of some questions; None = there are none."""
    if placed.pairs is not None:
        return _by_bags(placed.pairs, part)
    if placed.host.past is None:
        return None
    return torch.from_numpy(transition_features(placed.host, part))


def _by_bags(pairs: Pairs, part: slice) -> Tensor:
    begin, end = int(pairs.bounds[part.start]), int(pairs.bounds[part.stop])
    chance = embedding_bag(
        pairs.row[begin:end],
        pairs.weights,
        pairs.first[part] - begin,
        mode="sum",
        per_sample_weights=pairs.share[begin:end],
    )
    known = chance[:, pairs.slot] * pairs.is_known
    return torch.log1p(known.clamp(min=0.0) * pairs.scale)
