"""The client against the routes in this process, over good and bad lines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from inspect import getmembers, isfunction, signature
from typing import Any

import httpx
import pytest

from recsys.errors import (
    ConflictError,
    EventError,
    NotFoundError,
    RecsysError,
    RuleError,
    UnavailableError,
)
from serving.api.schemas import EventIn, Rejected
from serving.client import (
    AccessError,
    AsyncEventBatcher,
    AsyncHalflifeClient,
    EventBatcher,
    HalflifeClient,
    RetryPolicy,
    routes,
)
from serving.client.own_writes import OwnWrites
from tests.unit.serving.client.conftest import QUICK, Line


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def test_importing_it_needs_neither_ray_nor_torch() -> None:
    told = "import sys, serving.client; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert not {"ray", "torch", "numba", "fastapi", "transformers"} & set(found.stdout.split())


def test_every_route_is_typed(halflife: HalflifeClient) -> None:
    assert halflife.event("ann/1", "click", "space-1").accepted == 1
    many = [EventIn(user_id="ann/1", kind="like", item_id="space-2"), click("bob", "nowhere?")]
    assert halflife.events([*many, {"user_id": "x"}]).rejected[0].reason == "bad_event"
    assert len(halflife.recommend("ann/1", k=3, exclude_seen=False).items) == 3
    assert not halflife.recommend_session({"items": ["food-1"], "k": 2}).cold_start
    assert halflife.profile("ann/1").n_events == 2
    (mine,) = halflife.interests("ann/1").interests
    assert halflife.wish("ann/1", mine.label, {"mute": True}).wish.mute
    assert halflife.forget_interest("ann/1", mine.label).wish.forgotten_at is not None
    assert halflife.similar("food-1", k=2).items[0].rank == 1
    assert halflife.trending(k=1).half_lives_s
    assert halflife.popular(k=1).items == halflife.trending(half_life_s=315_360_000.0, k=1).items
    assert halflife.latest().items == []
    assert halflife.graph(edges=1).nodes
    assert halflife.health().status == "ok"


def test_items_are_asked_for_as_they_are_named() -> None:
    assert routes.put_item("a/b", {"title": "x", "text": None}).body == {"title": "x", "text": None}
    assert routes.patch_item("a/b", {"categories": []}).request(None) == {
        "method": "PATCH",
        "url": "/v1/items/a%2Fb",
        "params": {},
        "json": {"categories": []},
    }
    body = {"items": [{"item_id": "a", "title": "x"}], "delete": ["b"]}
    assert routes.write_items(body).body == body


def test_rules_are_written_rolled_back_and_tried(halflife: HalflifeClient) -> None:
    assert halflife.rules().version is None
    with pytest.raises(RuleError):
        halflife.put_rules([{"id": "x"}], None)
    first = halflife.put_rules([], None)
    assert halflife.dry_run_rules({"rules": [], "user_id": "ann"}).changes == []
    with pytest.raises(ConflictError):
        halflife.put_rules([], "another")
    assert first.version is not None
    with pytest.raises(RecsysError):
        halflife.roll_back_rules("another")


@pytest.mark.parametrize("failure", [503, 502, 504, 429, httpx.ReadTimeout, httpx.ConnectError])
def test_a_retry_counts_once(halflife: HalflifeClient, line: Line, failure: Any) -> None:
    line.failures, line.is_late = [failure], True
    halflife.event("ann", "click", "space-1")
    assert len(line.requests) == 2 and len({r.content for r in line.requests}) == 1
    assert halflife.profile("ann").n_events == 1


def test_what_cannot_be_repeated_is_not(halflife: HalflifeClient, line: Line) -> None:
    line.failures = [httpx.ReadTimeout]
    with pytest.raises(UnavailableError, match="cut"):
        halflife.put_rules([], None)
    line.failures = [504]
    with pytest.raises(UnavailableError):
        halflife.put_rules([], None)
    line.failures = [503, httpx.ConnectError]
    assert halflife.put_rules([], None).rules == []


def test_health_is_the_first_answer(halflife: HalflifeClient, line: Line) -> None:
    line.failures = [503]
    with pytest.raises(UnavailableError, match="GET /healthz: 503 not now"):
        halflife.health()


def test_retry_after_is_honoured_and_the_deadline_too(
    halflife: HalflifeClient, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    line.failures = [(429, {"Retry-After": "1"})]
    halflife.trending()
    assert len(slept) == 1 and slept[0] >= 1.0
    line.failures = [(429, {"Retry-After": "60"})]
    with pytest.raises(UnavailableError) as error:
        halflife.trending()
    assert error.value.retry_after_s == 60.0 and len(slept) == 1


def test_waits_grow_have_jitter_and_an_end() -> None:
    policy = RetryPolicy(first_wait_s=0.1, max_wait_s=1.0)
    assert [policy.wait_s(n, None, 0.0) for n in (1, 2, 3, 9)] == [0.05, 0.1, 0.2, 0.5]
    assert policy.wait_s(1, None, 0.999) == pytest.approx(0.1, rel=0.01)
    assert policy.wait_s(1, 30.0, 0.5) >= 30.0


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda c: c.similar("nothing"), NotFoundError),
        (lambda c: c.recommend("ann", k=0), EventError),
        (lambda c: c.event("ann", "stare", "space-1"), EventError),
    ],
)
def test_refusals_are_typed_and_name_no_user(
    halflife: HalflifeClient, ask: Callable[[HalflifeClient], Any], kind: type[RecsysError]
) -> None:
    with pytest.raises(kind) as error:
        ask(halflife)
    assert "ann" not in error.value.thing and "request " in error.value.remedy


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_an_access_error(halflife: HalflifeClient, line: Line, status: int) -> None:
    line.failures = [status]
    with pytest.raises(AccessError):
        halflife.trending()
    assert line.requests[0].headers["Authorization"] == "Bearer secret"


def test_own_writes_are_asked_for(halflife: HalflifeClient, line: Line) -> None:
    version = halflife.event("ann", "click", "space-1").version
    assert halflife.recommend("ann").profile_version == version
    halflife.recommend("bob")
    halflife.recommend("ann", min_version="")
    told = [request.url.params.get("min_version") for request in line.requests]
    assert told == [None, version, None, ""]


def test_tokens_are_merged_and_forgotten_in_time() -> None:
    seconds = [0.0]
    own = OwnWrites(60.0, lambda: seconds[0])
    own.wrote(["ann", "bob"], "1.5-2.7")
    own.wrote(["ann"], "1.4-3.1")
    assert own.token("ann") == "1.5-2.7-3.1" and own.token("bob") == "1.5-2.7"
    seconds[0] = 60.0
    assert own.token("ann") is None and own.token(None) is None


def test_both_forms_have_the_same_methods() -> None:
    def public(form: type) -> dict[str, str]:
        found = getmembers(form, isfunction)
        return {n: str(signature(f)) for n, f in found if not n.startswith("_") and n != "send"}

    assert (
        public(HalflifeClient) == public(AsyncHalflifeClient) and len(public(HalflifeClient)) == 26
    )


def test_the_async_form_does_the_same(line: Line) -> None:
    async def use() -> None:
        async with AsyncHalflifeClient("http://here", policy=QUICK, transport=line) as client:
            line.failures = [503, httpx.ReadError]
            version = (await client.event("ann", "click", "space-1")).version
            assert (await client.recommend("ann", k=2)).profile_version == version
            with pytest.raises(NotFoundError):
                await client.similar("nothing")
            async with AsyncEventBatcher(client, max_events=2, max_wait_s=0.01) as batch:
                for n in range(5):
                    await batch.add(click("bob", f"food-{n}"))
            assert batch.totals.accepted == 5

    asyncio.run(use())


def test_batches_are_sent_by_size_and_by_time(halflife: HalflifeClient, line: Line) -> None:
    refused: list[tuple[dict[str, Any], Rejected]] = []
    with EventBatcher(halflife, 3, 0.02, lambda *told: refused.append(told)) as batch:
        for n in range(4):
            batch.add(click("ann", f"space-{n}"))
        batch.add({"user_id": "ann", "kind": "stare", "item_id": "space-1"})
        deadline = time.monotonic() + 10.0
        while batch.totals.accepted < 4:
            assert time.monotonic() < deadline, "time does not send"
            time.sleep(0.005)
    assert batch.totals.rejected == 1
    assert refused[0][0]["kind"] == "stare" and refused[0][1].reason == "unknown_kind"
    assert halflife.profile("ann").n_events == 4


def test_a_batch_that_failed_is_kept_and_counts_once(halflife: HalflifeClient, line: Line) -> None:
    line.failures, line.is_late = [500], True
    batch = EventBatcher(halflife, max_events=2, max_wait_s=60.0)
    batch.add(click("ann", "space-1"))
    with pytest.raises(RecsysError, match="500"):
        batch.add(click("ann", "space-2"))
    batch.flush()
    assert (batch.totals.accepted, batch.totals.duplicates) == (0, 2)
    assert halflife.profile("ann").n_events == 2
