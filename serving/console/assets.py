"""The console's files as they are sent: read once, zipped once, named by their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from recsys.errors import NotFoundError

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
CHART = "plotly.min.js"
"""Comes out of the installed plotly package, so that no copy of it is kept here."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
REVALIDATED = "no-cache"
KEPT_A_DAY = "public, max-age=86400"


@dataclass(frozen=True)
class Asset:
    """One file."""

    read: Callable[[], bytes]
    """Its bytes, for the few who take no gzip."""
    zipped: bytes
    media_type: str
    etag: str
    """Changes with the bytes."""
    cache_control: str


@cache
def names() -> frozenset[str]:
    """What can be asked for beside the page."""
    ours = (path.name for path in STATIC.iterdir() if path.suffix in MEDIA_TYPES)
    return frozenset({*ours, CHART} - {PAGE})


@cache
def asset(name: str) -> Asset:
    """A file by name: ``PAGE``, or one of ``names()``.

    Raises:
        NotFoundError: if there is none; of the chart library, if it is not installed as a whole.
    """
    if name != PAGE and name not in names():
        raise NotFoundError(f"file {name!r} of the console", "does not exist", "Open /console")
    if name != CHART:
        return _packed((STATIC / name).read_bytes, Path(name).suffix, REVALIDATED)
    script = files("plotly").joinpath("package_data", CHART)
    if not script.is_file():
        raise NotFoundError("plotly's script", "is not installed", "Install plotly's wheel anew")
    return _packed(script.read_bytes, ".js", KEPT_A_DAY)


def _packed(read: Callable[[], bytes], suffix: str, cache_control: str) -> Asset:
    body = read()
    digest = hashlib.sha256(body).hexdigest()[:32]
    zipped = gzip.compress(body, compresslevel=6, mtime=0)
    return Asset(read, zipped, MEDIA_TYPES[suffix], f'W/"{digest}"', cache_control)
