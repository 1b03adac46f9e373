"""Business rules over HTTP: written, obeyed, tried out, rolled back, heard of."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import RecsysError, RuleError, StoreError
from recsys.rules.request import RequestFacts
from recsys.rules.versions import read_current
from recsys.settings import Settings
from recsys.shelf import Evidence
from recsys.store import Store
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.rules import RuleDesk
from serving.slates import SlateMaker, SlateRequest
from serving.stage import Stage
from tests.unit.rules.shop import rule
from tests.unit.serving.conftest import NOW, LocalPool

SPACE, FOOD = '"rockets" in item.categories', '"garlic" in item.categories'


def put(client: TestClient, *rules: Any, expected: str | None = None) -> Any:
    named = [{**one, "id": f"r{i}"} if one["id"] == "r" else one for i, one in enumerate(rules)]
    return client.put("/v1/rules", json={"rules": named, "expected_version": expected})


def slate(client: TestClient, user: str = "ann", **query: Any) -> dict[str, Any]:
    if "context" in query:
        query["context"] = json.dumps(query["context"])
    reply = client.get(f"/v1/users/{user}/recommendations", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["items"]]


def click(client: TestClient, item: str, user: str = "ann") -> None:
    event = {"user_id": user, "item_id": item, "kind": "click"}
    assert client.post("/v1/events", json=event).status_code == 202


def test_without_rules_there_is_no_version(client: TestClient) -> None:
    found = client.get("/v1/rules").json()
    assert found == {"version": None, "rules": [], "warnings": [], "history": []}
    assert slate(client)["reason"] is None


def test_written_rules_are_obeyed_at_once(client: TestClient) -> None:
    click(client, "space-1")
    plain = slate(client, k=5)
    assert all(one.startswith("space") for one in ids(plain))
    pin = rule('item.item_id == "food-3"', {"type": "pin", "place": 2})
    boost = rule('item.item_id == "space-9"', {"type": "boost", "add": 1.0})
    reply = put(client, rule('item.item_id == "space-2"', "filter"), pin, boost)
    assert reply.status_code == 200 and reply.json()["warnings"] == []
    found = slate(client, k=5)
    assert found["rules_version"] == reply.json()["version"]
    assert ids(found)[:2] == ["space-9", "food-3"] and "space-2" not in ids(found)
    assert [item["rules"] for item in found["items"][:3]] == [["r2"], ["r1"], []]
    first = found["items"][0]
    assert first["parts"]["rules"] > 0
    assert first["score"] == pytest.approx(sum(first["parts"].values()), abs=1e-5)


def test_rules_see_the_context_and_the_user(client: TestClient) -> None:
    put(
        client,
        rule(f'context.country == "DE" && {SPACE}', "filter"),
        rule(f'user.attributes.plan == "free" && {FOOD}', "filter"),
        rule('user.is_known && item.item_id == "food-5"', {"type": "pin", "place": 1}),
    )
    assert len(ids(slate(client, k=24))) == 24
    german = ids(slate(client, k=24, context={"country": "DE"}))
    assert len(german) == 12 and all(one.startswith("food") for one in german)
    free = ids(slate(client, k=24, context={"user": {"plan": "free"}}))
    assert all(one.startswith("space") for one in free)
    session = {"items": ["food-1"], "k": 24, "context": {"country": "DE"}}
    found = client.post("/v1/recommendations", json=session).json()
    assert len(ids(found)) == 11 and ids(found)[0] == "food-5"
    click(client, "space-1")
    assert ids(slate(client))[0] == "food-5"


def test_in_a_large_catalog_what_is_pinned_need_not_be_found(
    bundle: Bundle, settings: Settings, desk: RuleDesk
) -> None:
    small = {"exact_below": 1, "sources": {"interest": 1}}
    retrieval = bundle.settings.retrieval.model_copy(update=small)
    large = bundle.settings.model_copy(update={"retrieval": retrieval})
    tight = settings.model_copy(
        update={"serving": settings.serving.model_copy(update={"max_k": 2})}
    )
    maker = SlateMaker(dataclasses.replace(bundle, settings=large), tight)
    likes = bundle.vectors[bundle.catalog.index["space-1"]]
    query = maker.shelf.nobody._replace(vectors=likes[None, None])
    rules = desk.compile([rule('item.item_id == "food-11"', {"type": "pin", "place": 1})])
    found = maker.make(Evidence(query), NOW, SlateRequest(k=2), rules.bind(RequestFacts(NOW)))
    assert [item.item_id.partition("-")[0] for item in found.items] == ["food", "space"]
    assert [item.sources for item in found.items] == [["rules"], ["interest"]]


def test_a_slate_that_is_filtered_empty_says_why(client: TestClient) -> None:
    reply = put(client, rule("true", "filter", id="nothing"))
    assert reply.json()["warnings"][0]["rules"] == ["nothing"]
    found = slate(client, k=3)
    assert found["items"] == []
    assert "filtered by the rules nothing" in found["reason"]


@pytest.mark.parametrize(
    "context", ["{", "[]", '"DE"', '{"now": 1}', '{"user": 3}', '{"a": 1e999}', "{}" * 2]
)
def test_an_unsound_context_is_refused(client: TestClient, context: str) -> None:
    reply = client.get("/v1/users/ann/recommendations", params={"context": context})
    assert reply.status_code == 422 and "context" in reply.json()["detail"]
    session = client.post("/v1/recommendations", json={"context": {"now": 1}})
    assert session.status_code == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rules": []}, "expected_version"),
        ({"rules": [], "expected_version": None, "more": 1}, "more"),
        ({"expected_version": None}, "rules"),
        ([], "body"),
        (
            {"rules": [rule("item.titel == 'x'", "filter", id="typo")], "expected_version": None},
            "rule typo, when, line 1, character 5",
        ),
        (
            {"rules": [rule("true", {"type": "pin", "place": 0})], "expected_version": None},
            "rule r, action",
        ),
    ],
)
def test_unsound_rules_are_a_422_that_says_where(client: TestClient, body: Any, said: str) -> None:
    reply = client.put("/v1/rules", json=body)
    assert reply.status_code == 422 and said in reply.json()["detail"]
    assert client.get("/v1/rules").json()["version"] is None


def test_whoever_writes_second_is_told_and_rollback_goes_back(client: TestClient) -> None:
    first = put(client, rule(SPACE, "filter")).json()["version"]
    late = put(client, rule(FOOD, "filter"))
    assert late.status_code == 409 and first in late.json()["detail"]
    second = put(client, rule(FOOD, "filter"), expected=first).json()["version"]
    assert all(one.startswith("space") for one in ids(slate(client)))
    assert client.post("/v1/rules/rollback", json={"expected_version": first}).status_code == 409
    gone = {"expected_version": second, "version": "0" * 32}
    assert client.post("/v1/rules/rollback", json=gone).status_code == 404
    back = client.post("/v1/rules/rollback", json={"expected_version": second}).json()
    assert back["version"] == first and back["rules"][0]["when"] == SPACE
    assert [turn["version"] for turn in back["history"]] == [first, second, first]
    assert all(one.startswith("food") for one in ids(slate(client)))


def test_a_dry_run_says_what_would_change_and_changes_nothing(client: TestClient) -> None:
    click(client, "space-1")
    before = ids(slate(client, k=4))
    rules = [
        rule(f'item.item_id == "{before[0]}"', "filter", id="out"),
        rule('item.item_id == "food-3"', {"type": "pin", "place": 3}, id="in"),
    ]
    reply = client.post("/v1/rules/dry-run", json={"rules": rules, "user_id": "ann", "k": 4})
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert ids(found["before"]) == before == ids(slate(client, k=4))
    assert ids(found["after"])[2] == "food-3"
    changes = {one["item_id"]: one for one in found["changes"]}
    assert changes[before[0]] == {
        "item_id": before[0], "before": 1, "after": None, "rules": ["out"],
    }  # fmt: skip
    assert changes["food-3"]["rules"] == ["in"] and changes["food-3"]["before"] is None
    assert (changes[before[1]]["before"], changes[before[1]]["after"]) == (2, 1)
    assert client.get("/v1/rules").json()["version"] is None


def test_a_dry_run_is_for_a_session_too_and_for_one_only(client: TestClient) -> None:
    rules = [rule('context.country == "DE"', "filter")]
    session = {"items": ["food-1"], "context": {"country": "DE"}}
    found = client.post("/v1/rules/dry-run", json={"rules": rules, "session": session}).json()
    assert len(found["changes"]) == 10 and found["after"]["items"] == []
    assert {one["rules"][0] for one in found["changes"]} == {"r"}
    for body in ({"rules": []}, {"rules": [], "session": session, "user_id": "ann"}):
        assert client.post("/v1/rules/dry-run", json=body).status_code == 422


def test_another_gateway_hears_of_new_rules(
    client: TestClient, store: Store, bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    other = RuleDesk(store, bundle, time.perf_counter)
    gateway = Gateway(bundle, pool, settings, lambda: NOW, rules=other)
    with TestClient(create_app(Stage.of(gateway))) as second:
        assert slate(second)["rules_version"] is None
        version = put(client, rule(SPACE, "filter")).json()["version"]
        other.refresh()
        assert slate(second)["rules_version"] == version and not other.refresh()
        assert all(one.startswith("food") for one in ids(slate(second)))


def test_while_the_store_is_away_the_known_rules_count(
    client: TestClient, desk: RuleDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(client, rule(SPACE, "filter")).json()["version"]

    def away(*_: Any) -> None:
        raise StoreError("store", "is away")

    monkeypatch.setattr("serving.rules.read_current", away)
    monkeypatch.setattr("recsys.rules.versions.read_current", away)

    async def follow() -> None:
        task = asyncio.create_task(desk.follow(1e-3))
        await asyncio.sleep(0.02)
        assert not task.done()
        task.cancel()

    asyncio.run(follow())
    assert slate(client)["rules_version"] == version
    reply = put(client, rule(FOOD, "filter"), expected=version)
    assert reply.status_code == 503 and "Retry-After" in reply.headers


def test_without_its_rules_a_gateway_does_not_start(store: Store, bundle: Bundle) -> None:
    desk = RuleDesk(store, bundle, time.perf_counter)
    written = desk.put([rule(SPACE, "filter")], None, NOW)
    store.write(f"rules/{bundle.tenant}/{written.current.version}.json", b"{}")
    with pytest.raises(RecsysError):
        RuleDesk(store, bundle, time.perf_counter)


def test_rules_that_are_refused_leave_no_trace(desk: RuleDesk, store: Store) -> None:
    with pytest.raises(RuleError):
        desk.put([rule("item.nothing", "filter")], None, NOW)
    assert read_current(store, "default").version is None
    assert store.paths("rules") == []


def test_a_gateway_without_a_store_has_no_rules(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    with TestClient(create_app(Stage.of(Gateway(bundle, pool, settings, lambda: NOW)))) as client:
        assert client.get("/v1/rules").status_code == 404
        assert slate(client)["rules_version"] is None
