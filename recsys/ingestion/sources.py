"""Logs as they lie on disk: find them, cut them into splits of bounded size, read them in batches.

Parquet is cut by rows, JSON Lines by bytes; CSV and compressed files are read as one split each
(a quoted field may hold a newline, so a CSV has no safe place to cut). Local paths, globs,
folders (hive-partitioned too) and whatever URI pyarrow's file systems know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from recsys.errors import ConfigError, DataError, NotFoundError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}

_KNOWN = f"Known are {', '.join(FORMATS)}; text formats also with .gz, .bz2 or .zst"


@dataclass(frozen=True)
class SourceFile:
    """One file of a log."""

    path: str
    format: str
    """``parquet``, ``jsonl`` or ``csv``."""
    n_bytes: int
    constants: Mapping[str, str] = field(default_factory=dict)
    """Columns that stand in the folder names (``day=2024-01-01``)."""

    @property
    def is_compressed(self) -> bool:
        """Whether the file as a whole is compressed, so that it cannot be cut."""
        return self.path.endswith((".gz", ".bz2", ".zst"))


@dataclass(frozen=True)
class Split:
    """A part of a file that one task reads: rows of Parquet, bytes of JSON Lines."""

    file: SourceFile
    start: int
    stop: int
    n_bytes: int
    """Estimate of its size in memory."""

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Split:
        """The inverse of ``dataclasses.asdict``."""
        return cls(SourceFile(**tree["file"]), tree["start"], tree["stop"], tree["n_bytes"])


def open_file(path: str) -> Any:
    """A pyarrow input file for random access.

    Raises:
        NotFoundError: if it is gone. DataError: if it cannot be opened.
    """
    try:
        files, inner = _file_system(path)
        return files.open_input_file(inner)
    except FileNotFoundError as error:
        raise NotFoundError(f"source {path}", "does not exist") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"source {path}", f"cannot be opened ({error})") from error


def open_stream(file: SourceFile) -> Any:
    """A pyarrow input stream from the file's begin, decompressed."""
    try:
        files, inner = _file_system(file.path)
        return files.open_input_stream(inner)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"source {file.path}", f"cannot be opened ({error})") from error


def find_files(places: Sequence[str]) -> tuple[list[SourceFile], list[str]]:
    """The files of a log, in a stable order.

    Args:
        places: files, folders (searched whole), local globs, or URIs of files and folders.

    Returns:
        ``(files, skipped)``: skipped are files in searched folders whose ending says no format we
        read (names that start with ``_`` or ``.`` are no data and not listed).

    Raises:
        NotFoundError: if a place does not exist or holds no file.
        ConfigError: if a file named outright has an ending of no known format.
        DataError: if a file is empty.
    """
    found: dict[str, SourceFile] = {}
    skipped: list[str] = []
    for place in places:
        listed = list(_listed(place))
        if not listed:
            raise NotFoundError(f"source {place}", "holds no file", "Check the path or the glob")
        for path, root, n_bytes in listed:
            name = _format(path)
            if name is None and path == root:
                raise ConfigError(f"source {path}", "has an ending of no known format", _KNOWN)
            if name is None:
                skipped.append(path)
            else:
                found[path] = SourceFile(path, name, n_bytes, _constants(path, root))
    empty = next((f for f in found.values() if f.n_bytes == 0), None)
    if empty is not None:
        raise DataError(f"source {empty.path}", "is empty (0 bytes)", "Remove it or copy it again")
    if not found:
        raise DataError(f"sources {', '.join(places)}", "hold no file of a known format", _KNOWN)
    return list(found.values()), skipped


def _listed(place: str) -> Iterable[tuple[str, str, int]]:
    """``(path, root, n_bytes)`` of the files at a place; root = path for a file named outright."""
    if "://" not in place and re.search(r"[*?\[]", place) and not Path(place).exists():
        matches = sorted(glob(place, recursive=True))  # noqa: PTH207 - takes absolute patterns
        return [entry for match in matches for entry in _listed(match)]
    if "://" not in place:
        place = str(Path(place).absolute())
    try:
        files, inner = _file_system(place)
        info = files.get_file_info(inner)
        if info.type == fs.FileType.NotFound:
            raise NotFoundError(f"source {place}", "does not exist", "Check the path")
        if info.type == fs.FileType.File:
            return [(place, place, info.size)]
        inside = files.get_file_info(fs.FileSelector(inner, recursive=True))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"source {place}", f"cannot be read ({error})") from error
    prefix = place[: len(place) - len(inner.rstrip("/"))] if "://" in place else ""
    root = place.rstrip("/")
    return [
        (prefix + i.path, root, i.size)
        for i in sorted(inside, key=lambda i: i.path)
        if i.type == fs.FileType.File and not _hidden((prefix + i.path)[len(root) :])
    ]


def _file_system(path: str) -> tuple[Any, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), path
    files, inner = fs.FileSystem.from_uri(path)
    return files, inner


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(relative).parts if part != "/")


def _format(path: str) -> str | None:
    name = PurePosixPath(path.lower())
    if name.suffix in (".gz", ".bz2", ".zst"):
        inner = FORMATS.get(PurePosixPath(name.stem).suffix)
        return None if inner == "parquet" else inner
    return FORMATS.get(name.suffix)


def _constants(path: str, root: str) -> dict[str, str]:
    """``key=value`` folders between the searched folder and the file."""
    folders = PurePosixPath(path[len(root) :]).parts[:-1]
    pairs = (part.partition("=") for part in folders if "=" in part)
    return {key: unquote(value) for key, _, value in pairs}
