"""What users say of their interests, over HTTP and through the shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.errors import LedgerError
from recsys.folding import fold_partition, read_to_position
from recsys.ledger import ERASURE_KEY, erasure_pseudonym
from recsys.schema import DEFAULT_TENANT, partition_of
from recsys.settings import Settings
from serving.api.routes import create_app
from serving.drift_meters import DriftMeters
from serving.gateway import Gateway
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.stage import Stage
from tests.unit.serving.conftest import N_PARTITIONS, NOW, LocalPool

DAY = 86_400.0
N_EACH = 12


def click(item: str, ts: float = NOW - 60.0, user: str = "ann") -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", "ts": ts}


def post(client: TestClient, *events: dict[str, Any]) -> None:
    reply = client.post("/v1/events", json={"events": list(events)})
    assert reply.json()["accepted"] == len(events), reply.text


def node(bundle: Bundle, item: str) -> int:
    assert bundle.graph is not None
    return int(bundle.graph.node[bundle.catalog.index[item]])


def wish(client: TestClient, interest: object, user: str = "ann", **body: Any) -> dict[str, Any]:
    reply = client.patch(f"/v1/users/{user}/interests/{interest}", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def forget(client: TestClient, interest: object, user: str = "ann") -> dict[str, Any]:
    reply = client.delete(f"/v1/users/{user}/interests/{interest}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def slate(client: TestClient, user: str = "ann", **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/users/{user}/recommendations", params={"k": 8, **query})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def shown(client: TestClient, user: str = "ann", **query: Any) -> list[str]:
    return [item["item_id"] for item in slate(client, user, **query)["items"]]


def interests(client: TestClient, user: str = "ann") -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/users/{user}/interests").json()
    return found


def nodes(bundle: Bundle, items: list[str]) -> set[int]:
    return {node(bundle, item) for item in items}


def everything(bundle: Bundle) -> range:
    assert bundle.graph is not None
    return range(len(bundle.graph))


def test_a_muted_interest_is_not_shown_and_does_not_speak(
    client: TestClient, bundle: Bundle
) -> None:
    post(client, click("space-1"), click("food-1"))
    space = node(bundle, "space-1")
    found = wish(client, space, mute=True)
    assert found["wish"]["mute"] and found["wish"]["is_active"] and found["wish"]["node"] == space
    mine = slate(client, min_version=found["version"])
    assert space not in nodes(bundle, [item["item_id"] for item in mine["items"]])
    assert space not in nodes(bundle, shown(client, k=20, exclude_seen=False))
    assert mine["reason"] is None or "muted" not in mine["reason"]
    post(client, click("food-1", user="bob"))
    wish(client, space, user="bob", mute=True)
    bob = slate(client, "bob")["items"]
    assert [i["item_id"] for i in mine["items"]] == [i["item_id"] for i in bob]
    wish(client, space, mute=False)
    assert space in nodes(bundle, shown(client, exclude_seen=False))


def test_the_profile_without_the_muted_is_that_of_somebody_who_never_turned_to_it(
    client: TestClient, bundle: Bundle, gateway: Gateway
) -> None:
    """The scores are the same to rounding."""
    post(client, click("space-1"), click("food-1"), click("space-2", NOW - 3 * DAY))
    post(client, click("food-1", user="bob"))
    for user in ("ann", "bob"):
        wish(client, node(bundle, "space-1"), user=user, mute=True)
    mine, other = slate(client, k=5), slate(client, "bob", k=5)
    assert [i["score"] for i in mine["items"]] == pytest.approx(
        [i["score"] for i in other["items"]], abs=1e-5
    )


def test_muting_everything_falls_back_to_trend_and_says_so(
    client: TestClient, bundle: Bundle
) -> None:
    post(client, *[click(f"food-{n}", user=f"u{n}") for n in range(5)], click("space-1"))
    wish(client, node(bundle, "space-1"), mute=True)
    only = slate(client)
    assert "all interests are muted" in only["reason"] and len(only["items"]) > 0
    assert node(bundle, "space-1") not in nodes(bundle, [i["item_id"] for i in only["items"]])
    for a in everything(bundle):
        wish(client, a, mute=True)
    found = slate(client)
    assert "all interests are muted" in found["reason"] and len(found["items"]) == 8
    assert all(item["parts"]["interest"] == 0.0 for item in found["items"])


def test_a_boost_multiplies_scores_of_its_interest(client: TestClient, bundle: Bundle) -> None:
    """A score below 0 is divided, so that a boost is always up."""
    post(client, click("space-1"), click("food-1"))
    food = node(bundle, "food-1")
    before = {i["item_id"]: i["score"] for i in slate(client, k=22)["items"]}
    wish(client, food, boost=4.0)
    lifted = [i for i in slate(client, k=22)["items"] if node(bundle, i["item_id"]) == food]
    assert len(lifted) > 0 and any(before[item["item_id"]] > 0.0 for item in lifted)
    for item in lifted:
        was = before[item["item_id"]]
        assert item["score"] == pytest.approx(was * 4.0 if was > 0.0 else was / 4.0, rel=1e-4)
        assert item["rules"] == [f"wish.boost.{food}"]
    assert wish(client, food, boost=None)["wish"]["boost"] is None


def test_a_pin_keeps_a_place(client: TestClient, bundle: Bundle) -> None:
    post(client, *[click(f"space-{n}") for n in range(3)])
    food = node(bundle, "food-1")
    assert food not in nodes(bundle, shown(client, k=2))
    wish(client, food, pin=True)
    assert food in nodes(bundle, shown(client, k=2)) and len(shown(client, k=2)) == 2
    assert food in nodes(bundle, shown(client, k=1))


def test_a_forgotten_interest_is_gone_until_the_user_turns_to_it_again(
    client: TestClient, bundle: Bundle, clock: list[float]
) -> None:
    post(client, click("space-1"), click("food-1"))
    space = node(bundle, "space-1")
    wish(client, space, boost=3.0)
    said = forget(client, space)["wish"]
    assert said["forgotten_at"] == pytest.approx(NOW, abs=1e-5) and said["boost"] is None
    assert [one["node"] for one in interests(client)["interests"]] == [node(bundle, "food-1")]
    assert space not in nodes(bundle, shown(client, exclude_seen=False))
    clock[0] = NOW + DAY
    post(client, click("space-1", NOW + DAY))
    back = {one["node"]: one for one in interests(client)["interests"]}[space]
    assert back["n_events"] == 1 and back["direction"] == "appeared"
    assert [event["item_id"] for event in back["events"]] == ["space-1"]
    assert space in nodes(bundle, shown(client, exclude_seen=False))


def test_interests_show_what_was_wished(client: TestClient, bundle: Bundle) -> None:
    post(client, click("space-1"))
    wish(client, node(bundle, "space-1"), mute=True)
    wish(client, node(bundle, "food-1"), pin=True)
    found = interests(client)
    assert found["interests"][0]["wish"]["mute"] and len(found["interests"]) == 1
    assert {one["node"] for one in found["wishes"]} == nodes(bundle, ["space-1", "food-1"])


def test_a_label_names_an_interest_in_any_case(client: TestClient, bundle: Bundle) -> None:
    assert bundle.graph is not None
    label = bundle.graph.labels[0].label
    assert wish(client, label.upper(), mute=True)["wish"]["label"] == label


def test_somebody_unknown_may_wish(client: TestClient, bundle: Bundle) -> None:
    food = node(bundle, "food-1")
    wish(client, food, user="new", pin=True, boost=2.0)
    found = slate(client, "new", k=1)
    assert found["cold_start"] and nodes(bundle, [found["items"][0]["item_id"]]) == {food}


def test_unknown_interests_are_404_and_name_those_there_are(
    client: TestClient, bundle: Bundle
) -> None:
    for call in (client.delete, lambda path: client.patch(path, json={"mute": True})):
        reply = call("/v1/users/ann/interests/opera")
        assert reply.status_code == 404, reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        assert bundle.graph is not None and bundle.graph.labels[0].label in reply.json()["detail"]


def test_unsound_wishes_are_refused(client: TestClient) -> None:
    for body in (
        {}, {"boost": 0.0}, {"boost": 11.0}, {"mute": "yes"}, {"sing": True}, [], {"boost": "x"},
    ):  # fmt: skip
        reply = client.patch("/v1/users/ann/interests/0", json=body)
        assert reply.status_code == 422, body
    assert client.patch("/v1/users/ann/interests/0", content=b"{").status_code == 400


def test_nobody_can_post_a_wish_as_an_event(client: TestClient) -> None:
    event = {"user_id": "ann", "kind": "wish", "text": "{}"}
    assert client.post("/v1/events", json=event).status_code == 422


def test_too_many_wishes_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.wishes.MAX_WISHES", 1)
    wish(client, 0, mute=True)
    wish(client, 0, pin=True)
    assert client.patch("/v1/users/ann/interests/1", json={"mute": True}).status_code == 422


def test_an_acknowledged_wish_outlives_its_shard(
    client: TestClient, bundle: Bundle, pool: LocalPool, new_shard: Callable[[], Shard]
) -> None:
    """From the ledger alone, and from a snapshot with the tail behind it."""
    space = node(bundle, "space-1")
    wish(client, space, mute=True)
    pool.shard = new_shard()  # nothing was saved: as after kill -9
    assert interests(client)["wishes"][0]["mute"]
    pool.shard.save_snapshots()
    wish(client, space, pin=True)
    pool.shard = new_shard()
    (said,) = interests(client)["wishes"]
    assert said["mute"] and said["pin"] and said["node"] == space


def test_a_wish_that_the_ledger_refused_is_no_wish(
    client: TestClient, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> list[int]:
        raise LedgerError("ledger", "is away")

    with monkeypatch.context() as away:
        away.setattr(ground.ledger, "append", refuse)
        reply = client.patch("/v1/users/ann/interests/0", json={"mute": True})
        assert reply.status_code == 503
    assert interests(client)["wishes"] == []


def test_an_erased_user_wishes_nothing_any_more(
    client: TestClient, ground: Ground, pool: LocalPool, bundle: Bundle
) -> None:
    """Even where there was nothing of them but the wish."""
    wish(client, node(bundle, "space-1"), user="new", mute=True)
    ground.ledger.put_value(ERASURE_KEY, "00ff", 0)
    name = erasure_pseudonym("00ff", DEFAULT_TENANT, "new")
    ground.ledger.bury(DEFAULT_TENANT, name, NOW + 1.0)
    assert len(pool.shard.forget()) == 1
    assert interests(client, "new")["wishes"] == []


def test_a_rebuild_from_the_record_holds_what_the_shard_holds(
    client: TestClient, ground: Ground, pool: LocalPool, bundle: Bundle
) -> None:
    """And a wish is no evidence: the profiles are the same with it and without."""
    post(client, click("space-1"))
    wish(client, node(bundle, "space-1"), mute=True)
    number = partition_of(DEFAULT_TENANT, "ann", N_PARTITIONS)
    record, _ = read_to_position(Archive(ground.store), ground.ledger, number, DEFAULT_TENANT)
    table, _ = fold_partition(record, ground.basis)
    held = pool.shard._holdings.at(number).table
    assert table.wishes.of("ann") == held.wishes.of("ann") != ()
    np.testing.assert_array_equal(table.sums, held.sums)
    assert table.n_events.tolist() == held.n_events.tolist() == [1]
    assert list(table.user_ids) == ["ann"] and len(record) == 2


def test_drift_is_counted_once(gateway: Gateway, client: TestClient, clock: list[float]) -> None:
    told: list[dict[str, int]] = []
    gateway.interests._watch._meters.drifted = (  # type: ignore[method-assign]
        lambda counts: told.append(dict(counts))
    )
    post(client, click("space-1"), click("food-1", NOW - 5 * DAY))
    slate(client)
    slate(client)
    assert told == [{"appeared": 1, "fading": 1}]
    clock[0] = NOW + 300 * DAY
    interests(client)
    assert told[1:] == [{"died": 2}]


def test_a_gateway_that_takes_anothers_place_counts_no_drift_twice(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    told: list[dict[str, int]] = []

    class Heard(DriftMeters):
        def drifted(self, counts: Mapping[str, int]) -> None:
            told.append(dict(counts))

    heard = Heard()
    for _ in range(2):
        gateway = Gateway(bundle, pool, settings, lambda: NOW, drift=heard)
        with TestClient(create_app(Stage.of(gateway))) as client:
            post(client, click("space-1"))
            slate(client)
    assert told == [{"appeared": 1}]
