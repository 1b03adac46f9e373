"""Users of whom little is known, over HTTP: what they say, who they are, whom they follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.coldstart.segments import Segments
from recsys.datasets import canonical
from recsys.errors import UnavailableError
from recsys.manifest import FileRef
from recsys.schema import DEFAULT_TENANT, USERS
from recsys.settings import Settings
from recsys.store import Store
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.people import People
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

SESSION = "/v1/recommendations"


@pytest.fixture
def people(store: Store) -> People:
    return People(store, DEFAULT_TENANT, limit=10)


@pytest.fixture
def gateway(bundle: Bundle, pool: LocalPool, gateway: Gateway, people: People) -> Gateway:
    """One whose bundle knows that those with a plan like food-7."""
    n = len(bundle.catalog)
    row = bundle.catalog.index["food-7"]
    of_plan = (np.array([0, 1]), np.array([row], np.int32), np.array([50.0], np.float32))
    segments = Segments(("plan=gold",), *of_plan, np.ones(n, np.float32))
    bundle = replace(bundle, segments=segments)
    encode = gateway.newcomers._encode
    return Gateway(
        bundle, pool, gateway.settings, lambda: NOW, encode, gateway.rules, people=people
    )


@pytest.fixture
def client(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(create_app(Stage.of(gateway)), raise_server_exceptions=False) as client:
        yield client


def kinds(reply: dict[str, Any]) -> set[str]:
    return {item["item_id"].partition("-")[0] for item in reply["items"]}


def publish_users(store: Store, **follows: list[str]) -> None:
    names = sorted(follows)
    plans = [[("plan", "gold")]] * len(names)
    table = canonical(
        USERS, len(names), user_id=names, attributes=plans, follows=[follows[n] for n in names]
    )
    path, sha256, _ = store.write_table("archive/users", table)
    users = {DEFAULT_TENANT: FileRef(path, sha256)}
    Archive(store).publish(lambda manifest: replace(manifest, users=users))


def test_free_text_makes_a_slate_and_is_told_as_it_was_understood(client: TestClient) -> None:
    found = client.post(SESSION, json={"interests": "rockets and stars, no garlic", "k": 24}).json()
    assert not found["cold_start"] and kinds(found) <= {"space", "mute"}
    assert found["statement"]["is_read"] and found["statement"]["unknown"] == []
    assert found["statement"]["clauses"][-1] == {
        "text": "garlic",
        "is_wished": False,
        "topics": ["garlic"],
    }
    first = found["items"][0]
    assert first["parts"]["statement"] > 0.0
    assert first["reason"]["text"] == "Because you asked for rockets"


def test_labels_are_known_and_unknown_ones_reported(client: TestClient) -> None:
    said = {"interests": ["Rockets", "no garlic", "zeppelins"], "k": 5}
    found = client.post(SESSION, json=said).json()
    assert kinds(found) == {"space"}
    assert found["statement"]["unknown"] == ["zeppelins"]


def test_a_user_may_say_something_too(client: TestClient) -> None:
    query = {"interests": "nothing with rockets", "k": 24}
    found = client.get("/v1/users/ann/recommendations", params=query).json()
    assert "space" not in kinds(found) and not found["cold_start"]
    plain = client.get("/v1/users/ann/recommendations").json()
    assert plain["statement"] is None and plain["cold_start"]


@pytest.mark.parametrize("said", ["", "恐怖片", "no", ["", "!"], "😀", [], "ohne"])
def test_whatever_is_said_there_is_a_slate(client: TestClient, said: Any) -> None:
    reply = client.post(SESSION, json={"interests": said, "k": 3})
    assert reply.status_code == 200 and len(reply.json()["items"]) == 3


@pytest.mark.parametrize("said", [5, [5], ["a"] * 33, "x" * 20_000, {"a": 1}])
def test_what_is_no_statement_is_refused(client: TestClient, said: Any) -> None:
    assert client.post(SESSION, json={"interests": said}).status_code == 422


def test_without_the_encoder_names_are_understood(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    async def away(_: Any) -> Any:
        raise UnavailableError("encoder", "does not answer")

    for encode in (None, away):
        gateway = Gateway(bundle, pool, settings, lambda: NOW, encode)
        with TestClient(create_app(Stage.of(gateway))) as client:
            said = {"interests": "rockets, no garlic", "k": 12}
            found = client.post(SESSION, json=said).json()
        assert kinds(found) == {"space"} and not found["statement"]["is_read"]


def test_attributes_of_a_request_say_whom_a_user_is_like(client: TestClient) -> None:
    body = {"context": {"user": {"plan": "gold"}}, "k": 1}
    found = client.post(SESSION, json=body).json()
    assert found["items"][0]["item_id"] == "food-7"
    assert found["items"][0]["parts"]["segments"] > 0.0
    other = client.post(SESSION, json={"context": {"user": {"plan": "tin"}}, "k": 1}).json()
    assert "segments" not in other["items"][0]["parts"]


def test_what_followed_users_did_comes_first(client: TestClient) -> None:
    event = {"user_id": "bea", "item_id": "space-4", "kind": "click"}
    client.post("/v1/events", json=event)
    body = {"context": {"user": {"follows": ["bea", "nobody"]}}, "k": 1}
    found = client.post(SESSION, json=body).json()
    assert found["items"][0]["item_id"] == "space-4"
    assert found["items"][0]["parts"]["follows"] > 0.0
    for unsound in ("bea", [5], [""]):
        body = {"context": {"user": {"follows": unsound}}}
        assert client.post(SESSION, json=body).status_code == 422


def test_stored_attributes_and_follows_are_found_and_forgotten(
    client: TestClient, people: People, store: Store
) -> None:
    client.post("/v1/events", json={"user_id": "bea", "item_id": "space-4", "kind": "click"})
    publish_users(store, ann=["bea"])
    people.refresh()
    found = client.get("/v1/users/ann/recommendations", params={"k": 2}).json()
    assert {item["item_id"] for item in found["items"]} == {"food-7", "space-4"}
    publish_users(store, other=[])
    people.refresh()
    assert people.of("ann").follows == () and people.of("ann").attributes == {}
    publish_users(store, **{f"u{n}": [] for n in range(11)})  # more than are kept
    people.refresh()
    assert people.of("u1").attributes == {}


def test_an_item_that_is_not_wished_is_missed_with_a_reason(client: TestClient) -> None:
    said = {"interests": "no garlic, no rockets", "k": 24}
    found = client.post(SESSION, json=said).json()
    assert found["items"] == [] or kinds(found) == {"mute"}
    assert f"{len(TEXTS) - 1} of these are not wished" in found["reason"]
