"""Search, what is new, and what was always popular."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import create_store
from recsys.bundle import Bundle
from recsys.errors import UnavailableError
from recsys.item_writing import Item, rows_of
from recsys.settings import Settings
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_bundle
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.stage import Stage
from tests.unit.serving.conftest import N_PARTITIONS, NOW, LocalPool

STARS = "rockets stars orbit planets"


class Encoder:
    """Away while ``error`` stands."""

    error: Exception | None = None

    async def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return HashEncoder().encode(texts)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def client(
    bundle: Bundle, pool: LocalPool, settings: Settings, encoder: Encoder
) -> Iterator[TestClient]:
    gateway = Gateway(bundle, pool, settings, lambda: NOW, encoder)
    with TestClient(create_app(Stage.of(gateway)), raise_server_exceptions=False) as client:
        yield client


def found(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    reply = client.get("/v1/search", params=query)
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


def test_words_find_what_is_near(client: TestClient) -> None:
    items = found(client, q=STARS, k=12)
    assert all(item["item_id"].startswith("space") for item in items)
    assert [item["rank"] for item in items] == list(range(1, 13))
    assert [item["score"] for item in items] == sorted((i["score"] for i in items), reverse=True)
    assert all(item["score"] == item["relevance"] for item in items)


def test_what_a_user_likes_stands_before_what_is_as_near(client: TestClient) -> None:
    events = [{"user_id": "ann", "item_id": "space-7", "kind": "like"}] * 3
    client.post("/v1/events", json={"events": events}).raise_for_status()

    def rank(**query: Any) -> int:
        items = found(client, q=STARS, k=24, **query)
        return next(i["rank"] for i in items if i["item_id"] == "space-7")

    alone = rank(user_id="ann", personal=0.0)
    assert alone == rank() == rank(user_id="nobody-knows", personal=10.0)
    assert rank(user_id="ann", personal=10.0) == 1 < alone


def test_a_large_catalog_is_searched_by_the_index(
    bundle: Bundle, pool: LocalPool, settings: Settings, encoder: Encoder, client: TestClient
) -> None:
    retrieval = bundle.settings.retrieval.model_copy(update={"exact_below": 1})
    told = bundle.settings.model_copy(update={"retrieval": retrieval})
    gateway = Gateway(replace(bundle, settings=told), pool, settings, lambda: NOW, encoder)
    with TestClient(create_app(Stage.of(gateway))) as large:
        small = found(client, q=STARS, k=24)
        assert [i["item_id"] for i in found(large, q=STARS, k=24)] == [i["item_id"] for i in small]


def test_what_cannot_be_searched_for_is_refused(client: TestClient, encoder: Encoder) -> None:
    for query in ({"q": " "}, {"q": "x", "k": 0}, {"q": "x", "personal": -1}, {}):
        assert client.get("/v1/search", params=query).status_code == 422, query
    assert client.get("/v1/search", params={"q": "x", "user_id": "\x01"}).status_code == 422
    encoder.error = UnavailableError("encoder", "is away")
    assert client.get("/v1/search", params={"q": "x"}).status_code == 503


def test_popular_is_the_trend_at_its_longest_half_life(client: TestClient) -> None:
    events = [{"user_id": f"u{n}", "item_id": "food-1", "kind": "click"} for n in range(3)]
    client.post("/v1/events", json={"events": events}).raise_for_status()
    client.app.state.stage.front.gateway._trend.apply(  # type: ignore[attr-defined]
        client.portal.call(client.app.state.stage.front.gateway.pool.pull_trend, 0)  # type: ignore[union-attr, attr-defined]
    )
    (first,) = client.get("/v1/popular?k=1").json()["items"]
    assert first["item_id"] == "food-1" and first["score"] == max(first["mass"])
    assert client.get("/v1/popular?k=0").status_code == 422


def test_latest_are_those_that_came_last(
    tmp_path: Any, settings: Settings, pool: LocalPool
) -> None:
    store = Store(str(tmp_path / "dated"))
    create_store(store, N_PARTITIONS)
    items = {
        "always": Item(title="a"),
        "old": Item(title="b", available_from=NOW - 50.0),
        "new": Item(title="c", available_from=NOW - 5.0),
        "ended": Item(title="d", available_from=NOW - 4.0, available_until=NOW - 1.0),
        "coming": Item(title="e", available_from=NOW + 5.0),
    }
    dated = tiny_bundle(store, rows_of("default", items).sort_by("item_id"), NOW - 1e6, settings)
    with TestClient(create_app(Stage.of(Gateway(dated, pool, settings, lambda: NOW)))) as client:
        reply = client.get("/v1/latest?k=9").json()
        assert [item["item_id"] for item in reply["items"]] == ["new", "old"]
        assert client.get("/v1/latest?k=0").status_code == 422
        assert client.get("/v1/search?q=x").status_code == 422  # no encoder
