"""A learned model that has learned nothing: random tensors, for testing what carries a model.

It is as unlike a zero-shot model as can be: several query vectors, trend weights of each user's own
that differ for warm and cold items, event values that are no item vectors, and importance that
depends on the item and on the half-life.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.bundle import Bundle, BundleDraft, load_bundle, publish_bundle
from recsys.catalog import catalog_from_items
from recsys.encoder.projection import AffineProjection
from recsys.interest.learned import LearnedInterest
from recsys.interest.stored import Tensors
from recsys.ranking import RankingWeights
from recsys.retrieval import build_index
from recsys.schema import DEFAULT_TENANT
from recsys.settings import Settings
from recsys.store import Store
from recsys.testing.fakes import HashEncoder

N_TEXT = 32
_N_HIDDEN = 12


def random_interest(settings: Settings, rng: np.random.Generator) -> LearnedInterest:
    """A learned model of random weights.

    Args:
        settings: the half-lives, the kinds, ``encoder.n_dims``, ``model.n_queries`` and
            ``model.kernel``; one that is no exponential needs as many negative half-lives as
            positive ones.
        rng: of the weights.
    """
    interest, n_dims = settings.interest, settings.encoder.n_dims
    n_good, n_kinds = len(interest.half_lives_s), len(settings.data.kinds)
    n_lives = n_good + len(interest.negative_half_lives_s)
    weights = rng.random(n_good) if settings.model.kernel != "exponential" else None
    if weights is not None:
        n_good, n_lives = 1, 2
    n_trend, n_felt = len(settings.trend.half_lives_s), 3 * n_lives + 1
    layers = {
        "event.mlp.0": (_N_HIDDEN, n_dims),
        "event.mlp.2": (n_dims, _N_HIDDEN),
        "event.importance": (n_lives, n_dims),
        "readout.mix.0": (_N_HIDDEN, n_lives * n_dims + n_felt),
        "readout.mix.3": (settings.model.n_queries * n_dims, _N_HIDDEN),
        "readout.skip": (n_good, n_felt),
        "readout.trend.0": (_N_HIDDEN, n_felt),
        "readout.trend.2": (2 * n_trend + 2, _N_HIDDEN),
        "readout.fresh": (n_trend, n_felt),
    }
    tensors: dict[str, npt.NDArray[np.float64]] = {
        "value": np.array([3.0, 1.5]),
        "event.kind.weight": 0.3 * rng.normal(size=(n_kinds + 1, n_dims)),
        "readout.log_m_0": 0.3 * rng.normal(size=n_lives),
        "readout.plain": 0.3 * rng.normal(size=(settings.model.n_queries, n_good)),
        "event.given.weight": 0.3 * rng.normal(size=(n_dims, 2)),
        **({} if weights is None else {"mixture.weights": weights / weights.sum()}),
    }
    for name in ("readout.norm_mean", "readout.norm_out"):
        tensors[f"{name}.weight"] = 1.0 + 0.1 * rng.normal(size=n_dims)
        tensors[f"{name}.bias"] = 0.1 * rng.normal(size=n_dims)
    for name, shape in layers.items():
        tensors[f"{name}.weight"] = rng.normal(size=shape) / np.sqrt(shape[1])
        tensors[f"{name}.bias"] = 0.3 * rng.normal(size=shape[0])
    tensors["event.text.weight"] = rng.normal(size=(n_dims, N_TEXT)) / np.sqrt(n_dims)
    tensors["event.text.bias"] = 0.1 * rng.normal(size=n_dims)
    return LearnedInterest.from_tensors(tensors, interest, settings.data.kinds)


def random_bundle(
    store: Store,
    items: pa.Table,
    created_at: float,
    settings: Settings,
    neighbours: Tensors | None = None,
) -> Bundle:
    """Publish a learned bundle of random weights, every third item cold, and load it.

    Args:
        store: where to.
        items: canonical.
        created_at: now, Unix seconds; no event after it is known.
        settings: as of ``random_interest``.
        neighbours: a further part of the score.
    """
    rng = np.random.default_rng(11)
    catalog = catalog_from_items(items)
    n_dims, n_items = settings.encoder.n_dims, len(catalog)
    weight = (rng.normal(size=(n_dims, N_TEXT)) / np.sqrt(n_dims)).astype(np.float32)
    projection = AffineProjection(weight, 0.1 * rng.normal(size=n_dims).astype(np.float32))
    read = projection.project(HashEncoder(N_TEXT).encode(catalog.item_texts()))
    base = np.where(catalog.has_text[:, None], read, np.float32(0.0))
    warm = np.arange(n_items) % 3 != 0
    residual = 0.3 * rng.normal(size=(n_items, n_dims)) * warm[:, None]
    vectors = (base + residual).astype(np.float32)
    none = np.zeros(0, np.float32)
    draft = BundleDraft(
        catalog=catalog,
        vectors=vectors,
        projection=projection,
        index=build_index(vectors, settings.retrieval),
        weights=RankingWeights(none, none, none),
        settings=settings,
        data_until=0.0,
        warm=warm,
        model=random_interest(settings, rng),
        neighbours=neighbours,
    )
    publish_bundle(store, DEFAULT_TENANT, draft, created_at)
    return load_bundle(store, DEFAULT_TENANT)
