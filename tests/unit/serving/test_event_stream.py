"""Events as NDJSON, and idempotency keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from recsys.bundle import Bundle
from recsys.errors import UnavailableError
from recsys.settings import Settings
from serving.api.lines import lines_of
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, LocalPool

NDJSON = {"Content-Type": "application/x-ndjson"}


def click(user: str, item: str = "space-1", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def body(*lines: Any) -> bytes:
    return b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    api = settings.serving.api.model_copy(
        update={"stream_batch": 3, "max_rejected": 2, "max_line_bytes": 300}
    )
    serving = settings.serving.model_copy(update={"api": api})
    return settings.model_copy(update={"serving": serving})


def test_a_stream_counts_lines_and_names_those_it_rejects(client: TestClient) -> None:
    lines = body(click("a"), b"{", b"", click("b"), click("", event_id="x"), b"x" * 400, click("c"))
    reply = client.post("/v1/events", content=lines, headers=NDJSON)
    assert reply.status_code == 202
    found = reply.json()
    assert (found["n_lines"], found["accepted"], found["n_rejected"]) == (7, 3, 3)
    assert [(r["index"], r["reason"]) for r in found["rejected"]] == [
        (1, "bad_event"),
        (4, "bad_id"),
    ]
    slate = client.get("/v1/users/c/recommendations", params={"min_version": found["version"]})
    assert slate.status_code == 200 and not slate.json()["cold_start"]


def test_a_stream_that_breaks_off_says_how_far_it_came(
    client: TestClient, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = pool.append, []

    async def second_fails(events: Any) -> Any:
        calls.append(len(events))
        if len(calls) == 2:
            raise UnavailableError("actor shard-0", "does not answer")
        return await append(events)

    monkeypatch.setattr(pool, "append", second_fails)
    sent = {"content": body(*[click(f"u{n}") for n in range(7)])}
    headers = {**NDJSON, "Idempotency-Key": "k1"}
    reply = client.post("/v1/events", headers=headers, **sent)
    assert reply.status_code == 503 and reply.headers["Retry-After"] == "1"
    assert reply.headers["content-type"] == "application/problem+json"
    progress = reply.json()["progress"]
    assert (progress["n_lines"], progress["accepted"]) == (3, 3)
    again = client.post("/v1/events", headers=headers, **sent).json()
    assert (again["accepted"], again["duplicates"]) == (4, 3)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def lines(parts: tuple[bytes, ...], max_line: int, max_body: int) -> list[bytes | None]:
    async def all_of() -> list[bytes | None]:
        return [line async for line in lines_of(chunks(*parts), max_line, max_body, 1.0)]

    return asyncio.run(all_of())


def test_lines_do_not_depend_on_how_a_body_is_cut() -> None:
    whole = b"ab\n\n" + b"x" * 9 + b"\ncd\nlast"
    for size in (1, 2, 5, 100):
        parts = tuple(whole[n : n + size] for n in range(0, len(whole), size))
        assert lines(parts, 8, 100) == [b"ab", b"", None, b"cd", b"last"]


def test_a_body_is_counted_while_it_comes() -> None:
    with pytest.raises(HTTPException) as caught:
        lines((b"a\n", b"b" * 10), 100, 10)
    assert caught.value.status_code == 413


def test_a_body_above_its_limit_says_what_is_done_of_it(gateway: Gateway) -> None:
    api = gateway.settings.serving.api.model_copy(update={"max_stream_bytes": 400})
    serving = gateway.settings.serving.model_copy(update={"api": api})
    gateway.settings = gateway.settings.model_copy(update={"serving": serving})

    with TestClient(create_app(Stage.of(gateway))) as client:
        reply = client.post("/v1/events", content=body(*[click("u")] * 50), headers=NDJSON)
    assert reply.status_code == 413 and "progress" in reply.json()


def test_a_key_makes_a_retry_count_once_on_any_replica(
    client: TestClient, bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    sent = {"json": {"events": [click("a"), click("a", "space-2"), click("b", event_id="own")]}}
    headers = {"Idempotency-Key": "visit-1"}
    assert client.post("/v1/events", headers=headers, **sent).json()["accepted"] == 3
    with TestClient(create_app(Stage.of(Gateway(bundle, pool, settings, lambda: NOW)))) as other:
        again = other.post("/v1/events", headers=headers, **sent).json()
    assert (again["accepted"], again["duplicates"]) == (0, 3)
    fresh = client.post("/v1/events", headers={"Idempotency-Key": "visit-2"}, **sent).json()
    assert (fresh["accepted"], fresh["duplicates"]) == (2, 1)


def test_a_key_with_another_body_is_refused(client: TestClient) -> None:
    headers = {"Idempotency-Key": "one"}
    bad = client.post("/v1/events", json=click("a", kind="stare"), headers=headers)
    assert bad.status_code == 422  # which leaves the key free
    assert client.post("/v1/events", json=click("a"), headers=headers).status_code == 202
    other = client.post("/v1/events", json=click("b"), headers=headers)
    assert other.status_code == 422 and "another body" in other.json()["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_an_unsound_key_is_refused(client: TestClient, key: str) -> None:
    reply = client.post("/v1/events", json=click("a"), headers={"Idempotency-Key": key})
    assert reply.status_code == 422 and "Idempotency-Key" in reply.json()["detail"]


def limit(gateway: Gateway, request_timeout_s: float, stream_idle_s: float) -> None:
    serving = gateway.settings.serving
    api = serving.api.model_copy(update={"stream_idle_s": stream_idle_s})
    update = {"api": api, "request_timeout_s": request_timeout_s}
    told = serving.model_copy(update=update)
    gateway.settings = gateway.settings.model_copy(update={"serving": told})


async def streamed(gateway: Gateway, first: bytes, then: list[bytes]) -> dict[str, Any]:
    """Send a body to the application itself; after ``then`` nothing more comes."""
    parts, sent = [first, *then], []

    async def receive() -> dict[str, Any]:
        if len(parts) == 0:
            await asyncio.sleep(60.0)
        await asyncio.sleep(0.0 if len(parts) > len(then) else 0.05)
        return {"type": "http.request", "body": parts.pop(0), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")],
    }
    await create_app(Stage.of(gateway))(scope, receive, send)  # type: ignore[arg-type]
    content = b"".join(message.get("body", b"") for message in sent)
    return {"status": sent[0]["status"], **json.loads(content)}


def test_a_stream_that_stands_still_is_given_up(gateway: Gateway) -> None:
    limit(gateway, 60.0, 0.05)
    told = asyncio.run(streamed(gateway, body(*[click(f"u{n}") for n in range(4)]), []))
    assert told["status"] == 408 and "Nothing of the body came" in told["detail"]
    assert told["progress"]["accepted"] == 3


def test_a_stream_that_takes_too_long_says_how_far_it_came(gateway: Gateway) -> None:
    limit(gateway, 0.2, 60.0)
    told = asyncio.run(streamed(gateway, body(*[click(f"u{n}") for n in range(4)]), [b"\n"] * 99))
    assert told["status"] == 408 and "took longer" in told["detail"]
    assert told["progress"]["accepted"] >= 3
