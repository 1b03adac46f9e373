"""Our lines in Serve's log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from ray._common.formatters import JSONFormatter

from serving.observability.logs import OURS, SERVE, join_serve_log


@pytest.fixture
def serve_log() -> Iterator[StringIO]:
    """Serve's logger with one JSON handler that adds the path, as Serve's own does."""
    loggers = [logging.getLogger(name) for name in (SERVE, *OURS)]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]

    def add_path(record: logging.LogRecord) -> bool:
        record.route = "/v1/users/ann/recommendations"
        return True

    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    handler.addFilter(add_path)
    loggers[0].handlers[:] = [handler]
    yield stream
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def test_our_fields_stand_in_serves_json_and_no_path_does(serve_log: StringIO) -> None:
    join_serve_log()
    join_serve_log()
    fields = {"http_route": "/v1/users/{user_id:id}/profile", "caller": None, "took_ms": 1.5}
    logging.getLogger("serving.observability.middleware").info("request", extra=fields)
    (text,) = serve_log.getvalue().splitlines()
    line = json.loads(text)
    assert fields.items() <= line.items() and line["message"] == "request"
    assert "ann" not in text and "route" not in line
