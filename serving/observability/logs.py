"""Our log lines in Serve's log: JSON, one file a replica, beside Serve's own lines.

Serve gives handlers to its own logger only; without this the lines of a replica would go nowhere.
Serve also writes the path of a request into each record as ``route``, and ids stand in paths: the
field is taken off again.
"""

from __future__ import annotations

import logging

SERVE = "ray.serve"
OURS = ("serving", "recsys")


class PathFilter(logging.Filter):
    """Takes the field ``route`` off a record; the template stands in ``http_route``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        vars(record).pop("route", None)
        return True


def join_serve_log() -> None:
    """Send what our packages log in this replica where Serve logs; calling it again is the same."""
    serve = logging.getLogger(SERVE)
    for handler in serve.handlers:
        if not any(isinstance(one, PathFilter) for one in handler.filters):
            handler.addFilter(PathFilter())  # after Serve's own filters, which add the field
    for name in OURS:
        ours = logging.getLogger(name)
        ours.handlers[:] = serve.handlers
        ours.setLevel(logging.INFO)
        ours.propagate = False
