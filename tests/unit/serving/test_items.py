"""Single items over HTTP, and how slates follow them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.errors import ConflictError, UnavailableError
from recsys.item_writing import Item, write_items
from recsys.settings import Settings
from recsys.store import Store
from recsys.testing.fakes import HashEncoder
from serving.api.routes import create_app
from serving.catalog import CatalogDesk
from serving.gateway import Gateway
from serving.live import LiveCatalog
from serving.rules import RuleDesk
from serving.stage import Front, Stage
from tests.unit.serving.conftest import NOW, LocalPool

ROCKET = {"title": "Rockets", "text": "rockets stars orbit planets moon99"}
NEW = "/v1/items/new"


class Encoder:
    """Counts what it is asked; away while ``error`` stands."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.error is not None:
            raise self.error
        self.asked += texts
        return HashEncoder().encode(texts)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def quick(settings: Settings) -> Settings:
    serving = settings.serving.model_copy(update={"catalog_poll_s": 0.02})
    return settings.model_copy(update={"serving": serving})


@pytest.fixture
def live(
    store: Store,
    bundle: Bundle,
    pool: LocalPool,
    quick: Settings,
    encoder: Encoder,
    clock: list[float],
) -> LiveCatalog:
    def now() -> float:
        return clock[0]

    desk = CatalogDesk(store, "default", quick, now)

    def front(served: Bundle) -> Front:
        rules = RuleDesk(store, served, time.perf_counter)
        gateway = Gateway(served, pool, quick, now, encoder, rules)
        return Front.of(gateway, catalog=desk)

    return LiveCatalog(bundle, desk, encoder, front)


@pytest.fixture
def stage(live: LiveCatalog) -> Stage:
    return Stage(live.first())


@pytest.fixture
def client(stage: Stage, live: LiveCatalog) -> Iterator[TestClient]:
    app = create_app(stage, works=[partial(live.follow, stage)])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def slate(client: TestClient, k: int = 30) -> list[str]:
    body = {"items": ["space-1"], "k": k}
    reply = client.post("/v1/recommendations", json=body)
    assert reply.status_code == 200, reply.text
    return [item["item_id"] for item in reply.json()["items"]]


def comes_true(holds: Callable[[], bool], within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_new_item_is_recommended_without_a_new_bundle(client: TestClient) -> None:
    assert "new" not in slate(client)
    assert client.put(NEW, json=ROCKET).json()["item_ids"] == ["new"]
    assert client.get(NEW).json()["title"] == "Rockets"
    assert comes_true(lambda: "new" in slate(client, 12))  # beside the eleven others of space
    reply = client.get(f"{NEW}/similar?k=3").json()["items"]
    assert all(item["item_id"].startswith("space") for item in reply)


def test_an_item_that_is_taken_away_is_gone(client: TestClient) -> None:
    client.put(NEW, json=ROCKET)
    assert comes_true(lambda: "new" in slate(client))
    assert client.delete(NEW).json()["deleted"] == ["new"]
    assert client.get(NEW).status_code == 404 and client.delete(NEW).status_code == 404
    assert comes_true(lambda: "new" not in slate(client))
    client.put(NEW, json=ROCKET)
    assert comes_true(lambda: "new" in slate(client))


def test_items_of_the_bundle_change_and_go(client: TestClient) -> None:
    body = {"items": [{"item_id": "food-1", **ROCKET}, {"item_id": "space-3"}]}
    assert client.post("/v1/items:bulk", json=body).status_code == 200
    assert comes_true(lambda: "food-1" in slate(client, 12))
    body = {"delete": ["food-1", "space-3", "nothing"]}
    assert client.post("/v1/items:bulk", json=body).json()["deleted"] == ["food-1", "space-3"]
    assert comes_true(lambda: "food-1" not in slate(client))


def test_an_item_that_ended_while_nothing_ran_is_never_shown(
    store: Store, live: LiveCatalog
) -> None:
    ended = Item(title="Rockets", available_until=NOW - 1.0)
    write_items(Archive(store), "default", {"space-2": lambda _: ended}, "s", 100)
    with TestClient(create_app(Stage(live.first()))) as client:
        assert "space-2" not in slate(client)


def test_what_another_replica_writes_is_found_within_moments(
    client: TestClient, store: Store, quick: Settings
) -> None:
    other = CatalogDesk(store, "default", quick, lambda: NOW)
    new = Item(title="Rockets", text=ROCKET["text"])
    asyncio.run(other.write({"theirs": lambda _: new}))
    assert comes_true(lambda: "theirs" in slate(client))
    assert client.get("/v1/items/theirs").json()["text"] == ROCKET["text"]


def test_a_text_is_encoded_once(client: TestClient, encoder: Encoder) -> None:
    client.put(NEW, json=ROCKET)
    assert comes_true(lambda: "new" in slate(client))
    n_asked = len(encoder.asked)
    client.patch(NEW, json={"attributes": {"brand": "x"}})
    client.put("/v1/items/again", json=ROCKET)
    assert comes_true(lambda: "again" in slate(client))
    assert encoder.asked == encoder.asked[:n_asked]


def test_while_the_encoder_is_away_availability_counts_all_the_same(
    client: TestClient, encoder: Encoder
) -> None:
    encoder.error = UnavailableError("encoder", "is away")
    client.put(NEW, json=ROCKET)
    client.patch("/v1/items/space-4", json={"title": "x"})  # unknown to the archive
    client.put("/v1/items/space-4", json={**ROCKET, "available_until": NOW - 5.0})
    assert comes_true(lambda: "space-4" not in slate(client))
    assert "new" not in slate(client, 10)  # the ten that are left of space
    encoder.error = None
    assert comes_true(lambda: "new" in slate(client, 11))


def test_events_of_new_items_are_taken_and_profiles_stay_readable(client: TestClient) -> None:
    client.put(NEW, json=ROCKET)
    assert comes_true(lambda: "new" in slate(client))
    event = {"user_id": "ann", "item_id": "new", "kind": "click"}
    assert client.post("/v1/events", json=event).status_code == 202
    reply = client.get("/v1/users/ann/recommendations?explain=full")
    assert reply.status_code == 200 and len(reply.json()["items"]) == 10
    assert client.get("/v1/trending?k=30").status_code == 200


def test_a_patch_leaves_what_it_does_not_name(client: TestClient) -> None:
    whole = {**ROCKET, "categories": ["a"], "attributes": {"x": "1", "y": "2"}, "created_at": 5}
    client.put(NEW, json=whole)
    changes = {"text": None, "attributes": {"x": None, "z": "3"}, "available_until": "2030-01-01"}
    assert client.patch(NEW, json=changes).status_code == 200
    known = client.get(NEW).json()
    assert known["title"] == "Rockets" and known["text"] is None and known["categories"] == ["a"]
    assert known["attributes"] == {"y": "2", "z": "3"} and known["created_at"] == 5.0
    assert known["available_until"] == 1_893_456_000.0
    client.put(NEW, json={"title": "Other"})
    assert client.get(NEW).json()["attributes"] == {}


def test_pages_tell_each_item_once(client: TestClient) -> None:
    ids = [f"p{n}" for n in range(7)]
    client.post("/v1/items:bulk", json={"items": [{"item_id": i, "title": i} for i in ids]})
    client.delete("/v1/items/p3")
    found, cursor = [], ""
    while cursor is not None:
        reply = client.get(
            "/v1/items", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        found += [item["item_id"] for item in reply.json()["items"]]
        cursor = reply.json()["next_cursor"]
    assert found == [i for i in ids if i != "p3"]


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x" * 100_000},
        {"available_from": "yesterday"},
        {"attributes": {"": "x"}},
        {"attributes": {str(n): "x" for n in range(65)}},
        {"categories": [""]},
        {"colour": "red"},
        {"item_id": "other"},
        [],
    ],
)
def test_unsound_items_are_refused(client: TestClient, body: Any) -> None:
    for ask in (client.put, client.patch):
        assert ask(NEW, json=body).status_code in {404, 422}
    assert client.put(NEW, json=body).status_code == 422
    assert client.get(NEW).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": [{"item_id": "a"}, {"item_id": "a"}]},
        {"items": [{"item_id": "a"}], "delete": ["a"]},
        {"items": [{"title": "a"}]},
        {"delete": [str(n) for n in range(1_001)]},
    ],
)
def test_unsound_bulks_change_nothing(client: TestClient, body: Any) -> None:
    assert client.post("/v1/items:bulk", json=body).status_code == 422
    assert client.get("/v1/items").json()["items"] == []


def test_ids_with_slashes_are_percent_encoded(client: TestClient) -> None:
    path = f"/v1/items/{quote('a/b c', safe='')}"
    assert client.put(path, json=ROCKET).status_code == 200
    assert client.get(path).json()["item_id"] == "a/b c"
    assert client.get("/v1/items/a/b c").status_code == 404


def test_a_store_that_is_busy_is_a_503_that_names_no_path(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise ConflictError("archive of file:///secret", "is being changed", "Run it again later")

    monkeypatch.setattr(Archive, "publish", busy)
    reply = client.put(NEW, json=ROCKET)
    assert reply.status_code == 503 and "secret" not in reply.text
