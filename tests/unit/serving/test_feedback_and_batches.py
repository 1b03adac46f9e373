"""Slate feedback, and slates for many users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.errors import UnavailableError
from tests.unit.serving.conftest import NOW, LocalPool

BATCH = "/v1/recommendations:batch"


def events_of(pool: LocalPool, user: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pool.shard.record([user])[0].to_pylist()
    return rows


def click(user: str, item: str) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click"}


def test_feedback_becomes_impressions_and_events_of_the_slate(
    client: TestClient, pool: LocalPool
) -> None:
    slate = client.get("/v1/users/ann/recommendations", params={"k": 3}).json()
    shown = [item["item_id"] for item in slate["items"]]
    body = {
        "user_id": "ann",
        "shown": shown,
        "events": [{"item_id": shown[1], "kind": "click"}, {"item_id": "food-9", "kind": "like"}],
    }
    path = f"/v1/slates/{slate['request_id']}/feedback"
    reply = client.post(path, json=body, headers={"Idempotency-Key": "f1"})
    assert reply.status_code == 202 and reply.json()["accepted"] == 5
    found = events_of(pool, "ann")
    assert {row["request_id"] for row in found} == {slate["request_id"]}
    assert {(r["item_id"], r["rank"]) for r in found if r["kind"] == "impression"} == {
        (item, rank) for rank, item in enumerate(shown, 1)
    }
    assert [r["rank"] for r in found if r["kind"] == "click"] == [2]
    assert [r["rank"] for r in found if r["kind"] == "like"] == [None]
    again = client.post(path, json=body, headers={"Idempotency-Key": "f1"}).json()
    assert (again["accepted"], again["duplicates"]) == (0, 5)
    shown_again = client.post(path, json={"user_id": "ann", "shown": shown}).json()
    assert shown_again["duplicates"] == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "u"},
        {"user_id": "u", "shown": "a"},
        {"user_id": "u", "shown": ["a"], "x": 1},
    ],
)
def test_feedback_that_says_nothing_sound_is_refused(client: TestClient, body: Any) -> None:
    reply = client.post("/v1/slates/s1/feedback", json=body)
    assert reply.status_code == 422 and reply.json()["status"] == 422


def test_bad_events_of_feedback_are_listed_behind_what_was_shown(client: TestClient) -> None:
    body = {"user_id": "u", "shown": ["a", ""], "events": [{"item_id": "a", "kind": "stare"}]}
    found = client.post("/v1/slates/s1/feedback", json=body).json()
    assert found["accepted"] == 1
    assert [(r["index"], r["reason"]) for r in found["rejected"]] == [
        (1, "bad_id"),
        (2, "unknown_kind"),
    ]


def test_a_batch_is_the_slates_of_its_users_in_one_read(
    client: TestClient, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [click("ann", "space-1"), click("bob", "food-1")]
    client.post("/v1/events", json={"events": events})
    single = [
        client.get(f"/v1/users/{user}/recommendations", params={"k": 4, "as_of": NOW}).json()
        for user in ("bob", "ann")
    ]
    reads: list[Sequence[str]] = []
    read = pool.read

    async def counted(user_ids: Sequence[str], *args: Any) -> Any:
        reads.append(user_ids)
        return await read(user_ids, *args)

    monkeypatch.setattr(pool, "read", counted)
    body = {"user_ids": ["bob", "ann", "new"], "k": 4, "as_of": NOW}
    found = client.post(BATCH, json=body).json()
    assert reads == [["bob", "ann", "new"]] and found["as_of"] == NOW
    for one, other in zip(found["slates"], single, strict=False):
        assert one["user_id"] == other["user_id"] and one["items"] == other["items"]
    assert found["slates"][2]["cold_start"] and len(found["slates"][2]["items"]) == 4


def test_a_batch_without_profiles_is_degraded(client: TestClient, pool: LocalPool) -> None:
    pool.error = UnavailableError("actor shard-0", "does not answer")
    found = client.post(BATCH, json={"user_ids": ["ann"], "k": 2}).json()
    assert found["slates"][0]["degraded"] and len(found["slates"][0]["items"]) == 2
    body = {"user_ids": ["ann"], "min_version": "1.5"}
    assert client.post(BATCH, json=body).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        {"user_ids": []},
        {"user_ids": ["a", "a"]},
        {"user_ids": [""]},
        {"user_ids": [f"u{n}" for n in range(101)]},
        {"user_ids": ["a"], "k": 501},
        {"user_ids": ["a"], "explain": "full"},
        {"user_ids": ["a"], "context": {"now": 1}},
    ],
)
def test_an_unsound_batch_is_refused(client: TestClient, body: Any) -> None:
    assert client.post(BATCH, json=body).status_code == 422
