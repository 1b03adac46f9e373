"""What transitions are learned from: sums over a log, additive, so that partitions are merged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from recsys.transitions import MIN_WEIGHT, N_FOLDS, Floats, Ints, Pasts, Transitions


class TransitionSums:
    """``H'H`` and ``H'Y`` of a log, apart by fold; memory is 4 n^2 floats.

    Args:
        form: transitions that have learned nothing yet (``untrained``).
    """

    def __init__(self, form: Transitions) -> None:
        self.form = form
        shape = (N_FOLDS, len(form.items), len(form.items))
        self._inner, self._outer = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def add(self, past: Pasts, target_bounds: Ints, target: npt.NDArray[np.integer[Any]]) -> None:
        """Count choices.

        Args:
            past: the histories of P choices.
            target_bounds: (P + 1,) offsets into ``target``.
            target: (M,) catalog rows that were chosen.
        """
        chosen = self.form.slots[np.asarray(target, np.int64)]
        _add(past.arrays, (target_bounds, chosen), self._inner, self._outer)

    def merge(self, other: TransitionSums) -> None:
        """Add what another one counted."""
        self._inner += other._inner
        self._outer += other._outer

    def solved(self, ridge: float) -> tuple[Transitions, Floats]:
        """Transitions of everybody, and (folds + 1, n, n) weights: without each fold, then all."""
        inner, outer = self._inner.sum(0), self._outer.sum(0)
        whole = _ridge(inner, outer, ridge)
        apart = [
            _ridge(inner - self._inner[f], outer - self._outer[f], ridge) for f in range(N_FOLDS)
        ]
        return replace(self.form, weights=whole), np.stack([*apart, whole])


def _ridge(inner: Floats, outer: Floats, ridge: float) -> Floats:
    whole = inner + ridge * np.eye(len(inner), dtype=np.float32)
    weights: Floats = solve(whole, outer, assume_a="pos").astype(np.float32)
    return weights


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add(past: Any, targets: Any, inner: Floats, outer: Floats) -> None:
    bounds, slot, weight, fold = past
    target_bounds, chosen = targets
    for p in range(fold.shape[0]):
        f, n_right = fold[p], target_bounds[p + 1] - target_bounds[p]
        for a in range(bounds[p], bounds[p + 1]):
            if weight[a] < MIN_WEIGHT:
                continue
            for b in range(bounds[p], bounds[p + 1]):
                inner[f, slot[a], slot[b]] += n_right * weight[a] * weight[b]
            for e in range(target_bounds[p], target_bounds[p + 1]):
                if chosen[e] >= 0:
                    outer[f, slot[a], chosen[e]] += weight[a]
