"""The additive decayed state after every event of many runs, differentiable.

    S_i = k_i S_{i-1} + a_i v_i      m_i = k_i m_{i-1} + a_i      k_ih = 2^(-(t_i - t_{i-1})/tau_h)

Events of several users stand one after another; ``k`` is 0 where a run starts, so nothing is
padded. On a CPU a compiled scan walks the events once, forward for the states and backward for the
gradients; elsewhere blocks of events are multiplied at once and only blocks are walked.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

_BLOCK = 64


def decayed_scan(
    importance: Tensor,
    value: Tensor,
    elapsed_s: Tensor,
    start: Tensor,
    log_half_life_s: Tensor,
    compiled: bool = True,
) -> tuple[Tensor, Tensor]:
    """States after each event, as of that event.

    Args:
        importance: (T, H) at least 0.
        value: (T, D).
        elapsed_s: (T,) seconds since the event before; whatever it is where a run starts.
        start: (T,) bool, True at the first event of a run.
        log_half_life_s: (H,) natural logs of half-lives in seconds.
        compiled: by compiled code, for a CPU; False = by tensor operations, on any device.

    Returns:
        Sums (T, H, D) and masses (T, H).
    """
    rate = torch.exp(-log_half_life_s).to(importance.dtype)
    elapsed = torch.where(start, torch.zeros_like(elapsed_s), elapsed_s).to(importance.dtype)
    keep = torch.exp2(-elapsed[:, None] * rate)
    keep = torch.where(start[:, None], torch.zeros_like(keep), keep)
    if compiled:
        sums, mass = _Scan.apply(importance, value, keep)  # type: ignore[no-untyped-call]
        return sums, mass
    return blocked_scan(importance, value, keep)


def blocked_scan(importance: Tensor, value: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """The same states by matrix products over blocks of events, on any device.

    Args:
        importance: (T, H).
        value: (T, D).
        keep: (T, H) what is left of the state before at each event; 0 = a run starts.

    Returns:
        Sums (T, H, D) and masses (T, H).
    """
    n_events, n_lives = importance.shape
    n_blocks = -(-n_events // _BLOCK)
    pad = n_blocks * _BLOCK - n_events
    ones = torch.cat([value, value.new_ones(n_events, 1)], 1)  # the last column sums the masses
    a = _blocks(importance, pad)  # (B, L, H)
    v = _blocks(ones, pad)  # (B, L, D + 1)
    k = _blocks(keep, pad)
    left = _products(k)  # (B, H, L, L): what is left at q of what was added at s
    inside = torch.einsum("bhqs,bsh,bsd->bqhd", left, a, v)
    since = torch.cumprod(k, 1)  # (B, L, H) what is left of the state before the block
    carried, before = inside.new_zeros(n_lives, ones.shape[1]), []
    for b in range(n_blocks):
        before.append(carried)
        carried = since[b, -1][:, None] * carried + inside[b, -1]
    whole = inside + since[..., None] * torch.stack(before)[:, None]
    whole = whole.reshape(-1, n_lives, ones.shape[1])[:n_events]
    return whole[..., :-1], whole[..., -1]


def _blocks(flat: Tensor, pad: int) -> Tensor:
    padded = torch.cat([flat, flat.new_zeros(pad, flat.shape[1])])
    return padded.reshape(-1, _BLOCK, flat.shape[1])


def _products(keep: Tensor) -> Tensor:
    """(B, H, L, L) products of keep over (s, q], 0 where s > q."""
    k = keep.transpose(1, 2)
    n = k.shape[-1]
    rows = []
    row = k.new_zeros(*k.shape[:2], n)
    for q in range(n):
        row = row * k[:, :, q : q + 1]
        row = torch.cat([row[:, :, :q], torch.ones_like(row[:, :, :1]), row[:, :, q + 1 :]], -1)
        rows.append(row)
    return torch.stack(rows, 2)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, importance: Tensor, value: Tensor, keep: Tensor) -> Any:
        a, v, k = (_array(x) for x in (importance, value, keep))
        sums = np.empty((*a.shape, v.shape[1]), np.float32)
        mass = np.empty(a.shape, np.float32)
        _forward(a, v, k, sums, mass)
        out = torch.from_numpy(sums), torch.from_numpy(mass)
        ctx.save_for_backward(importance, value, keep, *out)
        return out

    @staticmethod
    def backward(ctx: Any, sums_gradient: Tensor, mass_gradient: Tensor) -> Any:
        a, v, k, sums, mass = (_array(x) for x in ctx.saved_tensors)
        out = [np.zeros(x.shape, np.float32) for x in (a, v, k)]
        _backward((a, v, k), (sums, mass), (_array(sums_gradient), _array(mass_gradient)), *out)
        return tuple(torch.from_numpy(x) for x in out)


def _array(x: Tensor) -> Any:
    return np.ascontiguousarray(x.detach().numpy(), np.float32)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _forward(a: Any, v: Any, k: Any, sums: Any, mass: Any) -> None:
    for i in range(a.shape[0]):
        for h in range(a.shape[1]):
            keep, add = k[i, h], a[i, h]
            if keep == 0.0:
                mass[i, h] = add
                for d in range(v.shape[1]):
                    sums[i, h, d] = add * v[i, d]
            else:
                mass[i, h] = keep * mass[i - 1, h] + add
                for d in range(v.shape[1]):
                    sums[i, h, d] = keep * sums[i - 1, h, d] + add * v[i, d]


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _backward(given: Any, states: Any, gradients: Any, da: Any, dv: Any, dk: Any) -> None:
    a, v, k = given
    sums, mass = states
    n_lives, n_dims = a.shape[1], v.shape[1]
    adjoint = np.zeros((n_lives, n_dims), np.float32)
    adjoint_mass = np.zeros(n_lives, np.float32)
    for i in range(a.shape[0] - 1, -1, -1):
        for h in range(n_lives):
            adjoint_mass[h] += gradients[1][i, h]
            to_a = adjoint_mass[h]
            weight = a[i, h]
            for d in range(n_dims):
                adjoint[h, d] += gradients[0][i, h, d]
                to_a += adjoint[h, d] * v[i, d]
                dv[i, d] += weight * adjoint[h, d]
            da[i, h] = to_a
            keep = k[i, h]
            if keep == 0.0:
                adjoint_mass[h] = 0.0
                for d in range(n_dims):
                    adjoint[h, d] = 0.0
                continue
            to_k = adjoint_mass[h] * mass[i - 1, h]
            adjoint_mass[h] *= keep
            for d in range(n_dims):
                to_k += adjoint[h, d] * sums[i - 1, h, d]
                adjoint[h, d] *= keep
            dk[i, h] = to_k
