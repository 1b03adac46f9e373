from __future__ import annotations

import numpy as np
import torch

from recsys.decay.state import AdditiveState, Evidence
from recsys.training.scan import blocked_scan, decayed_scan

T, H, D = 150, 3, 4
LIVES = torch.log(torch.tensor([30.0, 4_000.0, 1e6]))


def inputs(rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    importance = torch.from_numpy(rng.random((T, H)).astype(np.float32)).requires_grad_()
    value = torch.from_numpy(rng.normal(size=(T, D)).astype(np.float32)).requires_grad_()
    elapsed = torch.from_numpy(rng.exponential(500.0, T).astype(np.float32))
    start = torch.from_numpy(rng.random(T) < 0.05)
    start[0] = True
    return importance, value, elapsed, start


def test_states_equal_the_reference_fold(rng: np.random.Generator) -> None:
    importance, value, elapsed, start = inputs(rng)
    sums, mass = decayed_scan(importance, value, elapsed, start, LIVES)
    now, state = 0.0, AdditiveState(LIVES.exp().tolist(), D)
    for i in range(T):
        if start[i]:
            now, state = 0.0, AdditiveState(LIVES.exp().tolist(), D)
        else:
            now += float(elapsed[i])
        state.add(Evidence(now, importance[i].detach().numpy(), value[i].detach().numpy()))
        np.testing.assert_allclose(sums[i].detach().numpy(), state.sums, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(mass[i].detach().numpy(), state.mass, rtol=1e-4, atol=1e-4)


def test_the_compiled_and_the_blocked_scan_have_the_same_states_and_gradients(
    rng: np.random.Generator,
) -> None:
    importance, value, elapsed, start = inputs(rng)
    lives = LIVES.clone().requires_grad_()
    weights = [torch.from_numpy(rng.normal(size=s)).float() for s in ((T, H, D), (T, H))]

    def gradients(sums: torch.Tensor, mass: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = (sums * weights[0]).sum() + (mass * weights[1]).sum()
        return torch.autograd.grad(total, (importance, value, lives))

    compiled = decayed_scan(importance, value, elapsed, start, lives)
    clean = torch.where(start, torch.zeros_like(elapsed), elapsed)
    keep = torch.exp2(-clean[:, None] * torch.exp(-lives)) * ~start[:, None]
    blocked = blocked_scan(importance, value, keep)
    for one, other in zip(compiled, blocked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for one, other in zip(gradients(*compiled), gradients(*blocked), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_an_hour_long_gap_under_a_half_life_of_a_second_leaves_finite_gradients() -> None:
    importance = torch.ones(3, 1, requires_grad=True)
    value = torch.ones(3, 2, requires_grad=True)
    lives = torch.zeros(1, requires_grad=True)
    elapsed = torch.tensor([-1e9, 3_600.0, 1e9])  # the first one belongs to no run
    start = torch.tensor([True, False, False])
    sums, mass = decayed_scan(importance, value, elapsed, start, lives)
    found = torch.autograd.grad(sums.sum() + mass.sum(), (importance, value, lives))
    assert all(bool(torch.isfinite(g).all()) for g in found)
