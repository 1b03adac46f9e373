"""OpenTelemetry spans of Serve's proxy and replicas, without paths, by Serve's own hook.

Serve puts the path of a request into names and attributes of its spans, and user ids stand in
paths. So what is exported goes through ``PathlessExporter`` first; the route's template comes from
the gateway (``tell_span``). Serve names one function of this module in ``tracing_config``; where to
send spans over OTLP is told by the standard variables, ``OTEL_EXPORTER_OTLP_ENDPOINT`` first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError
from recsys.tracing_options import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

PREFIX = "halflife."
OTLP = "opentelemetry.exporter.otlp"

_PATH = re.compile(r"/.*", re.DOTALL)
_KEPT = re.compile(r"/(v1/[a-z-]{1,32}|healthz|console)(?![^/])")

_is_on = False


def tracing_config(settings: TracingSettings) -> dict[str, Any]:
    """Serve's ``tracing_config`` for the settings.

    Raises:
        ConfigError: if the exporter's package is not installed.
    """
    if settings.exporter == "none":
        return {"enabled": False}
    if settings.exporter == "otlp" and not _has(OTLP):
        raise ConfigError(
            "setting serving.tracing.exporter = 'otlp'",
            "needs a package that is not installed",
            "pip install 'halflife[tracing]'",
        )
    return {
        "enabled": True,
        "exporter_import_path": f"{__name__}:{settings.exporter}",
        "sampling_ratio": settings.sampling_ratio,
    }


def console() -> list[SpanProcessor]:
    """Spans as JSON on standard output, which Serve puts into the replica's log."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - an extra

    return processors(ConsoleSpanExporter())


def otlp() -> list[SpanProcessor]:
    """Spans to a collector, by OTLP over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    return processors(OTLPSpanExporter())


def processors(exporter: SpanExporter) -> list[SpanProcessor]:
    """What Serve hands its spans to, for an exporter; from then on ``tell_span`` tells."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

    global _is_on  # noqa: PLW0603 - as OpenTelemetry's own provider, one for the process
    _is_on = True
    return [BatchSpanProcessor(_pathless(exporter))]


def spans_are_on() -> bool:
    """Whether Serve has asked for an exporter in this process."""
    return _is_on


def tell_span(fields: Mapping[str, Any]) -> None:
    """Put the fields of a request's log line on the span that is open here, if there is one.

    Call it where ``spans_are_on`` only: the package may not be there.
    """
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    span = trace.get_current_span()
    for name, value in fields.items():
        if isinstance(value, Mapping):
            for key, part in value.items():
                span.set_attribute(f"{PREFIX}{name}.{key}", part)
        elif value is not None:
            span.set_attribute(PREFIX + name, value)


def without_path(text: str) -> str:
    """A text with its path cut after the part that holds no id.

    >>> without_path("proxy_http_request Gateway GET /v1/users/ann/recommendations")
    'proxy_http_request Gateway GET /v1/users/*'
    >>> without_path("GET /ann@example.com")
    'GET /*'
    """

    def cut(found: re.Match[str]) -> str:
        kept = _KEPT.match(found[0])
        if kept is None:
            return "/*" if len(found[0]) > 1 else "/"
        return kept[0] if kept.end() == len(found[0]) else f"{kept[0]}/*"

    return _PATH.sub(cut, text)


def pathless(span: ReadableSpan) -> ReadableSpan:
    """A span without paths, and without the messages of exceptions, which may quote anything."""
    from opentelemetry.sdk.trace import ReadableSpan as Span  # noqa: PLC0415 - an extra
    from opentelemetry.trace.status import Status  # noqa: PLC0415 - an extra

    attributes = {
        name: without_path(value) if isinstance(value, str) and not _is_ours(name) else value
        for name, value in (span.attributes or {}).items()
    }
    return Span(
        name=without_path(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX)


def _pathless(exporter: SpanExporter) -> SpanExporter:
    from opentelemetry.sdk.trace.export import SpanExporter as Base  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - an extra

    class PathlessExporter(Base):
        """Hands ``pathless`` spans on."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return exporter.export([pathless(span) for span in spans])

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return PathlessExporter()


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
