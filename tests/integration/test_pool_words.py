"""What a user says, through real shards: committed, waited for, read, and recovered when killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from recsys.archive import create_store
from recsys.bundle import Bundle, BundleDraft, load_bundle, publish_bundle
from recsys.encoder.projection import fit_projection
from recsys.encoder.text import TextEncoder
from recsys.retrieval import build_index
from recsys.schema import DEFAULT_TENANT
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_bundle, tiny_items
from serving.gateway import Gateway
from serving.pool import PoolSpec, end_pool, ensure_pool
from serving.slates import SlateRequest
from serving.word_reader import WordReader
from tests.unit.encoder.models import save_encoder

pytestmark = pytest.mark.ray

N_PARTITIONS = 4
WORDS = "slow-burn science fiction"
TEXTS = {
    **{f"scifi-{n}": f"slow-burn science fiction about planet{n}" for n in range(8)},
    **{f"cooking-{n}": f"quick pasta dinners with garlic{n}" for n in range(8)},
}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(assignments=["encoder.n_dims=8", "serving.n_shards=2"])


@pytest.fixture(scope="module")
def bundle(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Items read by words that they share; the encoder that stands beside them is never asked."""
    folder = tmp_path_factory.mktemp("words")
    store = Store(str(folder / "store"))
    create_store(store, N_PARTITIONS)
    plain = tiny_bundle(store, tiny_items(TEXTS), 0.0, settings)
    read = HashEncoder().encode(plain.catalog.item_texts())
    projection = fit_projection(read, plain.n_dims)
    vectors = projection.project(read)
    draft = BundleDraft(
        catalog=plain.catalog,
        vectors=vectors,
        projection=projection,
        index=build_index(vectors, settings.retrieval),
        weights=plain.weights,
        settings=settings,
        data_until=0.0,
        encoder=TextEncoder(save_encoder(folder / "model"), settings.encoder).files,
    )
    publish_bundle(store, DEFAULT_TENANT, draft, 0.0)
    return load_bundle(store, DEFAULT_TENANT)


@pytest.fixture(scope="module")
def spec(
    cluster: None, bundle: Bundle, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PoolSpec]:
    ledger = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    uri = bundle.store.uri
    spec = PoolSpec(uri, ledger, DEFAULT_TENANT, bundle.bundle_id, N_PARTITIONS, settings)
    yield spec
    end_pool(spec)


@pytest.fixture
def gateway(spec: PoolSpec, bundle: Bundle, settings: Settings) -> Gateway:
    async def encode(texts: Sequence[str]) -> np.ndarray:
        return HashEncoder().encode(texts)

    return Gateway(bundle, ensure_pool(spec), settings, time.time, encode)


def reader(gateway: Gateway) -> WordReader:
    assert gateway.words is not None
    return gateway.words


def slate(gateway: Gateway, user: str, version: str) -> list[str]:
    request = SlateRequest(k=8, min_version=version)
    reply = asyncio.run(gateway.recommend(user, request))
    return [item.item_id.partition("-")[0] for item in reply.items]


def test_a_search_moves_the_slate_of_somebody_new_once_it_is_read(gateway: Gateway) -> None:
    event = {"user_id": "newcomer", "kind": "search", "text": WORDS}
    reply = asyncio.run(gateway.post_event(event))
    assert (reply.accepted, reply.pending) == (1, 1)
    assert slate(gateway, "newcomer", reply.version) != ["scifi"] * 8
    assert asyncio.run(reader(gateway).read()) == 1
    assert slate(gateway, "newcomer", reply.version) == ["scifi"] * 8


def test_words_that_nobody_read_before_a_shard_died_are_read_after_it(gateway: Gateway) -> None:
    event = {"user_id": "patient", "kind": "search", "text": WORDS}
    reply = asyncio.run(gateway.post_event(event))
    for shard in asyncio.run(gateway._pool.status()):
        os.kill(shard.pid, signal.SIGKILL)
    assert slate(gateway, "patient", reply.version) != ["scifi"] * 8  # the shards are back
    while asyncio.run(reader(gateway).read()) > 0:
        pass
    assert slate(gateway, "patient", reply.version) == ["scifi"] * 8
