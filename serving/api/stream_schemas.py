"""What goes over HTTP with a stream of events."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from serving.api.errors import PROBLEM_JSON
from serving.api.reading import reference
from serving.api.schemas import Problem, Rejected


class StreamReply(BaseModel):
    """What became of the lines up to ``n_lines``: each is durable, a duplicate, or rejected."""

    n_lines: int = 0
    """Lines that are done, blank ones included; after a failure the rest was not looked at, or may
    be durable in part."""
    accepted: int = 0
    duplicates: int = 0
    pending: int = 0
    """Accepted events that are no evidence of taste yet."""
    n_rejected: int = 0
    rejected: list[Rejected] = []
    """The first of them; ``index`` is the line, from 0."""
    version: str = ""
    """Give it as ``min_version`` to read your own writes."""


class StreamProblem(Problem):
    """A stream that broke off, with what is done of it."""

    progress: StreamReply


BROKEN: dict[int | str, dict[str, Any]] = {
    status: {
        "description": f"{HTTPStatus(status).phrase}; a stream says in `progress` how far it came",
        "content": {
            PROBLEM_JSON: {"schema": {"anyOf": [reference(StreamProblem), reference(Problem)]}}
        },
    }
    for status in (400, 408, 413, 422, 503)
}
"""The error replies of the route that takes streams, for its OpenAPI entry."""
