"""The encoder as a service, on a tiny language model that comes with the bundle."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from recsys.bundle import Bundle, BundleDraft, publish_bundle
from recsys.encoder.text import TextEncoder
from recsys.errors import NotFoundError
from recsys.retrieval import build_index
from recsys.schema import DEFAULT_TENANT
from recsys.store import Store
from serving.encoder_service import EncoderService
from tests.unit.encoder.models import save_encoder


def test_it_encodes_as_the_bundle_did(bundle: Bundle, store: Store, tmp_path: Path) -> None:
    source = TextEncoder(save_encoder(tmp_path / "model"), bundle.settings.encoder)
    draft = BundleDraft(
        catalog=bundle.catalog,
        vectors=bundle.vectors,
        projection=bundle.projection,
        index=build_index(bundle.vectors, bundle.settings.retrieval),
        weights=bundle.weights,
        settings=bundle.settings,
        data_until=0.0,
        encoder=source.files,
    )
    published = publish_bundle(store, DEFAULT_TENANT, draft, 0.0)["bundle_id"]
    service = EncoderService(store.uri, DEFAULT_TENANT, published)
    texts = ["red apple pie", "ghost house"]
    for _ in range(2):
        found = asyncio.run(service.encode(texts))
        np.testing.assert_allclose(found, source.encode(texts), atol=1e-5)


def test_a_bundle_without_encoder_has_none(bundle: Bundle, store: Store) -> None:
    service = EncoderService(store.uri, DEFAULT_TENANT, bundle.bundle_id)
    with pytest.raises(NotFoundError, match="encoder"):
        asyncio.run(service.encode(["red"]))
