"""What is logged and counted of requests, over HTTP."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.errors import UnavailableError
from serving.observability.middleware import Message, RequestLog
from tests.unit.serving.conftest import LocalPool
from tests.unit.serving.observability.conftest import Told, click

SLATE = "/v1/users/{user_id:id}/recommendations"
ANN = "/v1/users/ann-7/recommendations"
OF_A_SLATE = ["query", "candidates", "ranking", "rerank", "reasons"]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == "request"]


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.observability.middleware")


def test_a_line_has_the_template_and_the_stages_and_no_id(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/v1/events", json=click("ann-7", "space-1"))
    assert client.get(ANN, params={"k": 3}, headers={"X-Request-ID": "abc-1"}).status_code == 200
    _, line = lines(caplog)
    assert (line["method"], line["http_route"], line["status"]) == ("GET", SLATE, 200)
    assert line["request_id"] == "abc-1" and line["slate"] == "personal"
    assert line["took_ms"] >= sum(line["stages_ms"].values()) * 0.9
    assert list(line["stages_ms"]) == ["profile", *OF_A_SLATE] and line["caller"] is None
    told = {
        k: v
        for k, v in line.items()
        if k not in logging.LogRecord("", 0, "", 0, "", (), None).__dict__
    }
    assert "ann-7" not in str(told)


def test_a_sound_request_id_comes_back_and_another_is_replaced(client: TestClient) -> None:
    for sent in ("7f.3_A:b=+-", "x" * 128):
        reply = client.get("/healthz", headers={"X-Request-ID": sent})
        assert reply.headers["X-Request-ID"] == sent
    made = [
        client.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
        for sent in ("", "x" * 129, "a b", "a/b", "{}", "é".encode())
    ]
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in made)
    assert len(set(made)) == len(made)


def test_stages_and_outcomes_of_slates_are_counted(
    client: TestClient, told: Told, pool: LocalPool
) -> None:
    told.stages.clear()  # of the warm-up nothing is told
    client.get(ANN)
    assert told.stages == ["profile", *OF_A_SLATE]
    client.post("/v1/events", json=click("ann-7", "space-1"))
    client.get(ANN)
    client.post("/v1/recommendations", json={"items": ["food-1"]})
    pool.error = UnavailableError("actor shard-0", "does not answer")
    client.get(ANN)
    assert told.slates == ["cold", "personal", "personal", "degraded"]


def test_requests_are_counted_by_route_method_and_status(client: TestClient, told: Told) -> None:
    client.get(ANN)
    client.get(ANN, params={"k": 0})
    client.get("/v1/items/nothing-9/similar")
    client.get("/ann-7")
    client.request("BREW", "/ann-7")
    assert told.requests == [
        (SLATE, "GET", 200),
        (SLATE, "GET", 422),
        ("/v1/items/{item_id:id}/similar", "GET", 404),
        ("unmatched", "GET", 404),
        ("unmatched", "OTHER", 404),
    ]


def test_what_goes_wrong_unexpectedly_is_counted_and_told_its_id(
    client: TestClient, told: Told, pool: LocalPool
) -> None:
    pool.error = ZeroDivisionError()
    reply = client.get(ANN, headers={"X-Request-ID": "who-am-i"})
    assert reply.status_code == 500 and "who-am-i" in reply.json()["detail"]
    assert told.requests == [(SLATE, "GET", 500)]


def asked(app: RequestLog, kind: str = "http", **scope: Any) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    whole = {"type": kind, "method": "GET", "path": "/ann", "headers": [], **scope}
    asyncio.run(app(whole, receive, send))
    return sent


async def answer(scope: Message, _: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body"})


def test_the_caller_is_named(caplog: pytest.LogCaptureFixture) -> None:
    sent = asked(RequestLog(answer), state={"caller": SimpleNamespace(name="shop")})
    assert lines(caplog)[0]["caller"] == "shop"
    assert [name for name, _ in sent[0]["headers"]] == [b"a", b"x-request-id"]


def test_a_proxy_may_add_the_header_itself() -> None:
    sent = asked(RequestLog(answer, returns_id=False))
    assert [name for name, _ in sent[0]["headers"]] == [b"a"]


def test_what_is_no_request_passes(caplog: pytest.LogCaptureFixture) -> None:
    assert len(asked(RequestLog(answer), kind="lifespan")) == 2
    assert lines(caplog) == []
