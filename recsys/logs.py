"""Logging for entry points: text on a terminal, JSON lines otherwise."""

from __future__ import annotations

import json
import logging
import sys
from typing import TextIO

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line; fields given by ``extra`` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        fields = {k: v for k, v in vars(record).items() if k not in _PLAIN}
        line = {
            "ts": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs to one stream; call it once, from an entry point.

    Args:
        level: lowest level that is shown.
        stream: where to (default: stderr, so that stdout stays for output).
    """
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter("%(levelname).1s %(name)s: %(message)s")
        if stream.isatty()
        else JsonFormatter()
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
