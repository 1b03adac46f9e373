"""The layers of a small network in NumPy, at the precision of what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

NORM_EPS = 1e-5
GELU_SCALE = 0.7978845608  # sqrt(2 / pi)


def linear(x: Numbers, tensors: Mapping[str, Numbers], name: str) -> Numbers:
    """A linear layer."""
    out: Numbers = x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
    return out


def norm(x: Numbers, tensors: Mapping[str, Numbers], name: str) -> Numbers:
    """Layer normalisation over the last axis (Ba et al. 2016)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(NORM_EPS))
    out: Numbers = centred / scale * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return out


def gelu(x: Numbers) -> Numbers:
    """Gaussian error linear unit by its tangent form (Hendrycks and Gimpel 2016)."""
    inner = np.float32(GELU_SCALE) * (x + np.float32(0.044715) * x * x * x)
    found: Numbers = np.float32(0.5) * x * (np.float32(1.0) + np.tanh(inner))
    return found


def sigmoid(x: Numbers) -> Numbers:
    """The logistic function."""
    found: Numbers = 0.5 + 0.5 * np.tanh(0.5 * x)
    return found


def softmax(x: Numbers) -> Numbers:
    """Shares over axis 1."""
    share = np.exp(x - x.max(axis=1, keepdims=True))
    out: Numbers = share / share.sum(axis=1, keepdims=True)
    return out
