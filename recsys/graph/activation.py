"""Spreading activation: an interest wakes those that it leads to, and those that are like it.

    s_a = sum_i w_ia exp(h_a.h_i / tau) / sum over all a
    w_aa = weight_a          w_ia = spread * weight_i * adjacency_ia

A node that leads nowhere keeps what it has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.graph.interest_graph import InterestGraph


def activation(weight: npt.NDArray[np.float64], graph: InterestGraph) -> npt.NDArray[np.float64]:
    """How awake each interest is.

    Args:
        weight: (A,) of one user's interests, at least 0.
        graph: the A nodes.

    Returns:
        (A,) at least 0 and of sum 1; zeros where there is no interest.
    """
    if not np.any(weight > 0.0):
        return np.zeros(len(graph))
    woken = np.maximum(weight, 0.0) @ graph.awakening
    found: npt.NDArray[np.float64] = woken / woken.sum()
    return found
