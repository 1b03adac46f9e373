"""Spans: what is exported holds no path, and the line of the request stands on its span."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.status import Status, StatusCode

from recsys.errors import ConfigError
from recsys.settings import load
from recsys.tracing_options import TracingSettings
from serving.observability import tracing
from serving.observability.middleware import Message, RequestLog
from serving.observability.request import current


@pytest.fixture
def exported(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    monkeypatch.setattr(tracing, "_is_on", False)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    (processor,) = tracing.processors(exporter)
    provider.add_span_processor(processor)
    yield provider, exporter
    provider.shutdown()


def test_what_is_exported_holds_no_path(
    exported: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    provider, exporter = exported
    path = "/v1/users/ann\nbob/recommendations"
    name = f"proxy_http_request Gateway GET {path}"
    with provider.get_tracer("serve").start_as_current_span(name) as span:
        span.set_attributes({"request_route_path": path, "http.route": path, "app": "halflife"})
        span.record_exception(ValueError("ann is unknown"))
        span.set_status(Status(StatusCode.ERROR, "ann is unknown"))
        tracing.tell_span({"http_route": "/v1/users/{user_id:id}/recommendations", "caller": None})
        tracing.tell_span({"stages_ms": {"profile": 1.25}, "status": 500})
    provider.force_flush()
    (found,) = exporter.get_finished_spans()
    assert found.name == "proxy_http_request Gateway GET /v1/users/*"
    assert dict(found.attributes or {}) == {
        "request_route_path": "/v1/users/*",
        "http.route": "/v1/users/*",
        "app": "halflife",
        "halflife.http_route": "/v1/users/{user_id:id}/recommendations",
        "halflife.stages_ms.profile": 1.25,
        "halflife.status": 500,
    }
    assert not found.status.is_ok and found.end_time is not None
    whole = json.dumps(json.loads(found.to_json()))
    assert "ann" not in whole and "bob" not in whole


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("/", "/"),
        ("/v1/trending", "/v1/trending"),
        ("/healthz", "/healthz"),
        ("/healthz/ann", "/healthz/*"),
        ("/v1/ann@home", "/*"),
        ("GET /ANN", "GET /*"),
        ("replica_handle_request Gateway __call__", "replica_handle_request Gateway __call__"),
    ],
)
def test_a_path_is_cut_where_an_id_may_begin(text: str, cut: str) -> None:
    assert tracing.without_path(text) == cut


def test_it_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().serving.tracing == TracingSettings(exporter="none", sampling_ratio=0.01)
    assert tracing.tracing_config(TracingSettings()) == {"enabled": False}
    found = tracing.tracing_config(TracingSettings(exporter="console", sampling_ratio=1.0))
    assert found["exporter_import_path"] == "serving.observability.tracing:console"
    assert found["enabled"] and found["sampling_ratio"] == 1.0
    monkeypatch.setattr(tracing, "OTLP", "nowhere.to.be.found")
    with pytest.raises(ConfigError, match=r"halflife\[tracing\]"):
        tracing.tracing_config(TracingSettings(exporter="otlp"))


@pytest.mark.parametrize("hook", [tracing.console, tracing.otlp])
def test_serve_takes_each_hook(hook: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private.tracing_utils import (  # noqa: PLC0415 - loads Serve
        _validate_tracing_exporter,
        _validate_tracing_exporter_processors,
    )

    monkeypatch.setattr(tracing, "_is_on", False)
    _validate_tracing_exporter(hook)
    found = hook()  # type: ignore[operator]
    _validate_tracing_exporter_processors(found)
    found[0].shutdown()


def test_the_line_of_a_request_stands_on_its_span(
    exported: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    provider, exporter = exported
    tracer = provider.get_tracer("framework")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span("GET /v1/users/ann/recommendations"):
            scope["route"] = SimpleNamespace(path="/v1/users/{user_id:id}/recommendations")
            current().slate(is_degraded=False, is_cold=True)
            await send({"type": "http.response.start", "status": 200})

    async def send(_: Message) -> None:
        return None

    scope = {"type": "http", "method": "GET", "headers": [(b"x-request-id", b"r-1")]}
    asyncio.run(RequestLog(app)(scope, send, send))
    provider.force_flush()
    (found,) = exporter.get_finished_spans()
    told = dict(found.attributes or {})
    assert told["halflife.http_route"] == "/v1/users/{user_id:id}/recommendations"
    assert told["halflife.request_id"] == "r-1" and told["halflife.slate"] == "cold"
    assert told["halflife.status"] == 200 and "halflife.caller" not in told
