"""Settings of spans."""

from __future__ import annotations

from typing import Literal

from recsys.section import Section, Share


class TracingSettings(Section):
    """OpenTelemetry spans of the service; read when Serve is started."""

    exporter: Literal["none", "console", "otlp"] = "none"
    """Where spans go: nowhere, to the log, or to a collector (extra ``tracing``; where it listens
    is told by ``OTEL_EXPORTER_OTLP_ENDPOINT``)."""
    sampling_ratio: Share = 0.01
    """Share of the requests that are traced; who sends a ``traceparent`` decides for itself."""
