"""The projection of text vectors to item vectors.

zero-shot   v = normalise((e - mean) @ components.T)      PCA fitted on the catalog
learned     v = e @ weight.T + offset                     as trained, of any length
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.errors import DataError

_MIN_NORM = 1e-6


@dataclass(frozen=True)
class Projection:
    """A linear map from E text dimensions to D item dimensions."""

    mean: npt.NDArray[np.float32]
    """(E,) mean text vector of the catalog: what all texts share says nothing about taste."""
    components: npt.NDArray[np.float32]
    """(D, E) orthonormal rows, most variance first; zero rows where the catalog has less rank."""

    @property
    def n_dims(self) -> int:
        """D."""
        return len(self.components)

    def project(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring text vectors to item space.

        Args:
            vectors: (n, E) float32.

        Returns:
            (n, D) float32 unit rows; a text that equals the mean becomes a zero row.
        """
        centred = np.asarray(vectors - self.mean, dtype=np.float32)
        return unit_rows(centred @ self.components.T)

    def to_bytes(self) -> bytes:
        """The projection as a safetensors file."""
        return bytes(save({"mean": self.mean, "components": np.ascontiguousarray(self.components)}))


@dataclass(frozen=True)
class AffineProjection:
    """A learned map from E text dimensions to D item dimensions; lengths carry meaning."""

    weight: npt.NDArray[np.float32]
    """(D, E)."""
    offset: npt.NDArray[np.float32]
    """(D,)."""

    @property
    def n_dims(self) -> int:
        """D."""
        return len(self.weight)

    def project(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring text vectors (n, E) float32 to item space: (n, D) float32."""
        found = np.asarray(vectors, np.float32) @ self.weight.T + self.offset
        return np.asarray(found, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The projection as a safetensors file."""
        tensors = {"weight": np.ascontiguousarray(self.weight), "offset": self.offset}
        return bytes(save(tensors))


AnyProjection = Projection | AffineProjection


def fit_projection(vectors: npt.NDArray[np.float32], n_dims: int) -> Projection:
    """PCA by the eigenvectors of the covariance: E x E, whatever the number of items.

    Args:
        vectors: (n, E) float32 text vectors; ``n`` may be 0 (the identity on the first dims).
        n_dims: D.
    """
    n, width = vectors.shape
    components = np.zeros((n_dims, width), dtype=np.float32)
    if n < 2:
        np.fill_diagonal(components, 1.0)
        return Projection(np.zeros(width, dtype=np.float32), components)
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / n
    variance, basis = np.linalg.eigh(covariance)
    rank = min(n_dims, int(np.sum(variance > 1e-7 * max(float(variance[-1]), 1e-12))))
    best = basis[:, ::-1][:, :rank].T
    largest = np.argmax(np.abs(best), axis=1)
    signs = np.sign(best[np.arange(rank), largest])  # eigenvectors have no sign of their own
    components[:rank] = best * signs[:, None]
    return Projection(mean.astype(np.float32), components)


def projection_from_bytes(data: bytes) -> AnyProjection:
    """The projection that ``to_bytes`` of either kind wrote.

    Raises:
        DataError: if the bytes are no projection.
    """
    try:
        tensors = load(data)
        if "weight" in tensors:
            return AffineProjection(tensors["weight"], tensors["offset"])
        return Projection(tensors["mean"], tensors["components"])
    except (SafetensorError, KeyError) as error:
        raise DataError("projection", f"cannot be read ({error!r})", "Publish it again") from error


def unit_rows(rows: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Rows scaled to length 1; rows of (nearly) no length become zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled = np.where(norms > _MIN_NORM, rows / np.maximum(norms, _MIN_NORM), 0.0)
    return np.asarray(scaled, dtype=np.float32)
