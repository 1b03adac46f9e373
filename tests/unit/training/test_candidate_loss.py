from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from recsys.training.batches import Candidates
from recsys.training.candidate_loss import Scored, _Sliced
from recsys.training.placing import Placement
from recsys.training.plain_loss import plain_logits, plain_loss
from recsys.transitions import Pasts

P, C, D, U, G, HT = 7, 23, 5, 3, 4, 2


def candidates(rng: np.random.Generator, with_logq: bool) -> Candidates:
    counts = rng.integers(1, 3, P)
    target = np.concatenate([rng.choice(C, n, replace=False) for n in counts])
    past = rng.random(2 * P).astype(np.float32)
    correction = rng.normal(size=C).astype(np.float32) if with_logq else np.zeros(C, np.float32)
    if with_logq:
        correction[rng.random(C) < 0.3] = -np.inf
    return Candidates(
        correction=correction,
        born=np.where(rng.random(C) < 0.5, -np.inf, rng.random(C) * 10.0),
        gone=np.where(rng.random(C) < 0.8, np.inf, rng.random(C) * 10.0),
        cold_since=np.where(rng.random(C) < 0.3, np.inf, rng.random(C) * 10.0),
        touched=np.where(rng.random((U, C)) < 0.3, rng.random((U, C)) * 10.0, np.inf),
        run=rng.integers(0, U, P),
        as_of=rng.random(P) * 10.0,
        cutoff=np.where(rng.random(P) < 0.5, np.inf, rng.random(P) * 10.0),
        cell=rng.integers(0, G, P),
        trend=(rng.random((G, C, HT)) * (rng.random((G, C, 1)) < 0.7)).astype(np.float32),
        muted=rng.random(C) < 0.3,
        target_bounds=np.concatenate([[0], np.cumsum(counts)]),
        target=target,
        past=Pasts(np.arange(P + 1) * 2, rng.integers(0, 9, 2 * P), past, rng.integers(0, 3, P)),
        transitions=rng.normal(size=(3, 9, 9)).astype(np.float32),
        slot=np.where(rng.random(C) < 0.5, rng.integers(0, 9, C), -1),
        n_items=C,
    )


def scored(rng: np.random.Generator, n_queries: int) -> Scored:
    shapes = ((C, D), (C, D), (P, n_queries, D), (P, HT), (P, HT), (P,), (P,), (1,))
    return Scored(
        *(
            torch.tensor(rng.normal(size=shape), dtype=torch.float32).requires_grad_()
            for shape in shapes
        )
    )


def exact_loss(scored: Scored, given: Candidates) -> torch.Tensor:
    """The whole matrix at once, differentiated by autograd; pairs by compiled code."""
    placed = Placement().candidates(given)
    logits = plain_logits(scored, placed, slice(0, P))
    lost = torch.logsumexp(logits, 1)[placed.which] - logits[placed.which, placed.target]
    return (lost * placed.weight).sum() / P


@pytest.mark.parametrize("n_queries", [1, 3])
@pytest.mark.parametrize("with_logq", [False, True])
@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_each_form_of_the_loss_has_the_loss_and_the_gradients_of_the_formula(
    form: str,
    n_queries: int,
    with_logq: bool,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsys.training.candidate_loss._SLICE_CELLS", 2 * C)  # several slices
    monkeypatch.setattr("recsys.training.plain_loss._SLICE_FLOATS", 2 * C * max(HT, n_queries))
    given, some = candidates(rng, with_logq), scored(rng, n_queries)
    if form == "compiled":
        loss = _Sliced.apply(given, *some)
    else:
        loss = plain_loss(some, Placement("cpu", compiled=False).candidates(given))
    exact = exact_loss(some, given)
    torch.testing.assert_close(loss, exact, rtol=1e-5, atol=1e-5)
    for quick, slow in zip(
        torch.autograd.grad(3.0 * loss, some), torch.autograd.grad(3.0 * exact, some), strict=True
    ):
        torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-6)


def test_without_transitions_the_plain_loss_is_that_of_the_rest(rng: np.random.Generator) -> None:
    given = candidates(rng, False)._replace(past=None, transitions=None, slot=None)
    some = scored(rng, 2)
    loss = plain_loss(some, Placement("cpu", compiled=False).candidates(given))
    torch.testing.assert_close(loss, exact_loss(some, given), rtol=1e-5, atol=1e-5)
    assert not torch.autograd.grad(loss, some)[-1].any()


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made."""

    n_values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(tensor, torch.Tensor):
                self.n_values = max(self.n_values, tensor.numel())
        return found


def test_the_plain_loss_never_holds_all_questions_and_candidates(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.plain_loss._SLICE_FLOATS", 2 * C * HT)
    placed = Placement("cpu", compiled=False).candidates(candidates(rng, True))
    some = scored(rng, 1)
    with Largest() as sliced:
        plain_loss(some, placed).backward()
    with Largest() as whole:
        plain_logits(some, placed, slice(0, P))
    assert sliced.n_values <= max(2 * C * HT, C * D) < P * C < whole.n_values == P * C * HT
