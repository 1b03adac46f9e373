from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys.training.batches import Candidates
from recsys.training.candidate_loss import Scored, _Sliced, plain_loss
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
        fresh=rng.random((G, C, HT if with_logq else 0)).astype(np.float32),
        muted=rng.random(C) < 0.3,
        target_bounds=np.concatenate([[0], np.cumsum(counts)]),
        target=target,
        past=Pasts(np.arange(P + 1) * 2, rng.integers(0, 9, 2 * P), past, rng.integers(0, 3, P)),
        transitions=rng.normal(size=(3, 9, 9)).astype(np.float32),
        slot=np.where(rng.random(C) < 0.5, rng.integers(0, 9, C), -1),
        n_items=C,
    )


def scored(rng: np.random.Generator, n_queries: int) -> Scored:
    shapes = ((C, D), (C, D), (P, n_queries, D), (P, HT), (P, HT), (P,), (P,), (P, HT), (1,))
    return Scored(
        *(
            torch.tensor(rng.normal(size=shape), dtype=torch.float32).requires_grad_()
            for shape in shapes
        )
    )


@pytest.mark.parametrize("n_queries", [1, 3])
@pytest.mark.parametrize("with_logq", [False, True])
def test_the_compiled_loss_and_its_gradients_equal_the_plain_ones(
    n_queries: int, with_logq: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.candidate_loss._SLICE_CELLS", 2 * C)  # several slices
    given, some = candidates(rng, with_logq), scored(rng, n_queries)
    fast = _Sliced.apply(given, *some)
    slow = plain_loss(some, given)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    for quick, exact in zip(
        torch.autograd.grad(fast, some), torch.autograd.grad(slow, some), strict=True
    ):
        torch.testing.assert_close(quick, exact, rtol=1e-4, atol=1e-6)
