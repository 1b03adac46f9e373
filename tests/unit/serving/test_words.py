"""What users say, online: committed at once, evidence as soon as the encoder has read it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.encoder.cache import VectorCache, text_hash
from recsys.errors import UnavailableError
from recsys.interest.zero_shot import ZeroShot
from recsys.ledger import Owner, open_ledger
from recsys.schema import Event
from recsys.settings import Settings
from recsys.snapshot import load
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_bundle, tiny_items
from serving.gateway import Gateway
from serving.pool.leases import Leases
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.word_reader import WordReader
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

NewShard = Callable[[], Shard]
SEARCH = {"user_id": "u", "kind": "search", "text": "rockets stars orbit"}


@pytest.fixture
def bundle(store: Store, settings: Settings) -> Bundle:
    """A bundle that reads words, as one with an encoder does."""
    found = tiny_bundle(store, tiny_items(TEXTS), NOW - 1e6, settings)
    assert isinstance(found.model, ZeroShot)
    manifest = {**found.manifest, "encoder": {"id": "hash", "files": {}}}
    model = dataclasses.replace(found.model, projection=found.projection)
    return dataclasses.replace(found, model=model, manifest=manifest)


def said(user: str, text: str, n: int = 0, item: str | None = None) -> Event:
    kind = "search" if item is None else "comment"
    return Event("default", f"{user}{n}", user, item, kind, NOW, 0, NOW, text=text)


def read(shard: Shard) -> int:
    texts = shard.waiting_texts()
    return shard.take_texts(texts, HashEncoder().encode(texts))


def reader(gateway: Gateway) -> WordReader:
    assert gateway.words is not None
    return gateway.words


def test_a_search_is_acknowledged_as_pending_and_moves_the_slate_once_it_is_read(
    client: TestClient, gateway: Gateway
) -> None:
    posted = client.post("/v1/events", json={"events": [SEARCH]}).json()
    assert (posted["accepted"], posted["pending"]) == (1, 1)
    asyncio.run(reader(gateway).read())
    found = client.get("/v1/users/u/recommendations", params={"k": 6}).json()
    assert [item["item_id"].partition("-")[0] for item in found["items"]] == ["space"] * 6
    assert not found["cold_start"]


def test_words_are_read_behind_the_request(client: TestClient, pool: LocalPool) -> None:
    client.post("/v1/events", json={"events": [SEARCH]})
    for _ in range(200):
        if not pool.shard.waiting_texts():
            break
        client.get("/v1/health")  # lets the application's other tasks run
    assert pool.shard.waiting_texts() == []
    assert pool.shard.read(["u"], NOW)[0].mass.any()


def test_a_comment_counts_as_seen_at_once_and_as_evidence_when_it_is_read(
    new_shard: NewShard,
) -> None:
    shard = new_shard()
    ack = shard.append([said("u", "garlic bread", item="food-1"), said("u", "stars", 1)])
    assert ack.n_pending == 2
    (before,) = shard.read(["u"], NOW)
    assert before.n_events == 1 and len(before.seen) == 1 and not before.mass.any()
    assert len(shard.take_trend()[1]) == 0  # a comment is no positive kind
    assert read(shard) == 2
    (after,) = shard.read(["u"], NOW)
    assert after.n_events == 1 and len(after.seen) == 1 and after.mass.all()
    assert after.version == before.version
    assert read(shard) == 0 and shard.waiting_texts() == []


def test_a_repeated_delivery_folds_nothing_twice(new_shard: NewShard) -> None:
    shard = new_shard()
    shard.append([said("u", "stars")])
    vectors = HashEncoder().encode(["stars"])
    assert shard.take_texts(["stars"], vectors) == 1
    mass = shard.read(["u"], NOW)[0].mass
    assert shard.take_texts(["stars"], vectors) == 0
    np.testing.assert_array_equal(shard.read(["u"], NOW)[0].mass, mass)


def test_silence_and_unknown_items_do_not_wait(new_shard: NewShard) -> None:
    shard = new_shard()
    events = [said("u", " "), said("u", "stars", 1, item="unheard-of")]
    assert shard.append(events).n_pending == 1  # for its item
    assert shard.waiting_texts() == []


def test_words_of_the_ledgers_tail_are_asked_for_again_after_a_restart(
    new_shard: NewShard,
) -> None:
    shard = new_shard()
    shard.append([said("u", "stars"), said("w", "garlic", 1)])
    again = new_shard()
    assert sorted(again.waiting_texts()) == ["garlic", "stars"]
    assert read(again) == 2 and read(shard) == 2
    for mine, theirs in zip(again.read(["u", "w"], NOW), shard.read(["u", "w"], NOW), strict=True):
        np.testing.assert_allclose(mine.query.vectors, theirs.query.vectors, rtol=1e-6)


def test_words_that_wait_are_in_the_snapshot_and_what_was_read_is_saved_too(
    new_shard: NewShard, ground: Ground
) -> None:
    shard = new_shard()
    (number,) = shard.append([said("u", "stars")]).versions
    shard.save_snapshots()
    again = new_shard()
    assert again.waiting_texts() == ["stars"]
    assert read(again) == 1
    assert again.save_snapshots() == 1, "what was read changed the partition"
    stored = load(ground.store, ground.key(number), ground.settings)
    assert stored is not None and len(stored.table.waiting) == 0
    third = new_shard()
    assert third.waiting_texts() == []
    np.testing.assert_allclose(
        third.read(["u"], NOW)[0].mass, again.read(["u"], NOW)[0].mass, rtol=1e-6
    )


def test_a_shard_that_folds_the_whole_record_takes_what_jobs_have_read(
    new_shard: NewShard, ground: Ground
) -> None:
    new_shard().append([said("u", "stars"), said("u", "garlic", 1)])
    cache = VectorCache(ground.store, "hash")
    cache.put([text_hash("stars")], HashEncoder().encode(["stars"]))
    again = new_shard()
    assert again.waiting_texts() == ["garlic"]
    assert again.read(["u"], NOW)[0].mass.any()


def test_a_shard_asks_for_few_texts_at_once(new_shard: NewShard) -> None:
    shard = new_shard()
    shard.append([said(f"u{n}", f"stars {n}", n) for n in range(50)])
    assert len(shard.waiting_texts()) == 32
    assert read(shard) == 32 and read(shard) == 18


def test_a_bundle_that_reads_no_words_lets_nothing_wait(
    bundle: Bundle, settings: Settings, tmp_path: object
) -> None:
    assert isinstance(bundle.model, ZeroShot)
    deaf = dataclasses.replace(bundle, model=dataclasses.replace(bundle.model, projection=None))
    ledger = open_ledger(f"sqlite:///{tmp_path}/other.db")
    shard = Shard(
        Ground.of(deaf, ledger, settings),
        4,
        Leases(ledger, "default", Owner("only", "here", "me", 3.0)),
    )
    shard.open(range(4))
    ack = shard.append([said("u", "stars"), said("u", "garlic bread", 1, item="food-1")])
    assert ack.n_pending == 0 and shard.waiting_texts() == []
    assert shard.read(["u"], NOW)[0].mass.any()  # by the comment's item


def test_an_encoder_that_is_away_is_asked_again(pool: LocalPool) -> None:
    calls = 0

    async def encode(texts: Sequence[str]) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise UnavailableError("encoder", "does not answer", "Retry")
        return HashEncoder().encode(texts)

    pool.shard.append([said("u", "stars")])
    words = WordReader(pool, encode)

    async def follow() -> None:
        following = asyncio.create_task(words.follow())
        while pool.shard.waiting_texts():
            words.wake()
            await asyncio.sleep(0)
        following.cancel()

    asyncio.run(asyncio.wait_for(follow(), 30.0))
    assert calls == 2


def test_a_visitors_words_are_what_a_users_search_is(client: TestClient, gateway: Gateway) -> None:
    client.post("/v1/events", json={"events": [{**SEARCH, "ts": NOW}]})
    asyncio.run(reader(gateway).read())
    asked = {"k": 8, "as_of": NOW}
    user = client.get("/v1/users/u/recommendations", params=asked).json()["items"]
    session = client.post(
        "/v1/recommendations", json={"items": [], "text": SEARCH["text"], **asked}
    ).json()["items"]
    assert [item["item_id"] for item in session] == [item["item_id"] for item in user]
    for mine, theirs in zip(session, user, strict=True):
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-5)
