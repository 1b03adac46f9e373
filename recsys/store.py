"""The store: one URI (a folder, ``s3://``, ``gs://``, ``memory://``) that holds every artifact.

Publishing never relies on rename. Files are content-addressed and written first; then one small
JSON *pointer* is swapped by compare-and-swap: a conditional put on object stores, a lock and an
atomic replace on a local disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, from_url

from recsys.errors import ChecksumError, ConflictError, NotFoundError, StoreError

DIGEST_CHARS = 32


def digest(data: bytes) -> str:
    """SHA-256 of some bytes, as 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


class Store:
    """Bytes, tables and pointers below one URI. Cheap to make; pickles by its URI.

    Args:
        uri: a folder (made when missing), ``file://``, ``s3://bucket/prefix`` or
            ``gs://bucket/prefix``. The cloud's own variables (``AWS_ENDPOINT_URL``,
            ``AWS_ACCESS_KEY_ID``, ...) are read by obstore.

    Raises:
        StoreError: if the place cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        parsed = urlparse(uri)
        local = parsed.scheme in ("", "file")
        self.root: Path | None = (
            Path(unquote(parsed.path) if parsed.scheme else uri).absolute() if local else None
        )
        self.uri = str(self.root) if self.root is not None else uri.rstrip("/")
        try:
            self._backend: Any = (
                LocalStore(self.root, mkdir=True) if self.root is not None else from_url(self.uri)
            )
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"store {uri}", f"cannot be opened ({error})", _REMEDY) from error

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return (Store, (self.uri,))

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def read(self, path: str, sha256: str | None = None) -> bytes:
        """The bytes of one file.

        Raises:
            NotFoundError: if there is no such file.
            ChecksumError: if ``sha256`` is given and differs.
        """
        with self._translated(path):
            data = bytes(obstore.get(self._backend, path).bytes())
        if sha256 is not None and digest(data) != sha256:
            raise ChecksumError(
                f"{self.uri}/{path}",
                f"has sha256 {digest(data)}, not {sha256}",
                "Restore the file, or publish again",
            )
        return data

    def mapped(self, path: str, sha256: str | None = None) -> pa.Buffer:
        """The bytes of one file; on a local disk they are mapped into memory, not copied.

        Raises as ``read`` does.
        """
        if self.root is None or sha256 is not None:
            return pa.py_buffer(self.read(path, sha256))
        try:
            with pa.memory_map(str(self.root / path)) as file:
                return file.read_buffer()
        except (OSError, pa.ArrowInvalid):  # named in another way there, empty, or gone
            return pa.py_buffer(self.read(path))

    def read_range(self, path: str, start: int, n_bytes: int) -> bytes:
        """``n_bytes`` bytes of one file from ``start`` on; no checksum."""
        if n_bytes == 0:
            return b""
        with self._translated(path):
            end = start + n_bytes
            return bytes(obstore.get_range(self._backend, path, start=start, end=end))

    def write(self, path: str, data: bytes) -> None:
        """Put one file, whole or not at all."""
        try:
            with self._translated(path):
                obstore.put(self._backend, path, data)
        except NotFoundError as error:
            problem = "cannot be written: the bucket or folder is not there"
            raise StoreError(f"{self.uri}/{path}", problem, _REMEDY) from error

    def put_content(self, prefix: str, data: bytes, suffix: str) -> str:
        """Put a file that is named after its content; return its path."""
        path = f"{prefix.rstrip('/')}/{digest(data)[:DIGEST_CHARS]}{suffix}"
        if self.size(path) != len(data):  # a power failure may have left it cut
            self.write(path, data)
        return path

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Bytes of one file; None if there is no such file."""
        try:
            with self._translated(path):
                return int(obstore.head(self._backend, path)["size"])
        except NotFoundError:
            return None

    def modified(self, path: str) -> float | None:
        """When a file was written, Unix seconds by the store's clock; None if there is none."""
        try:
            with self._translated(path):
                return float(obstore.head(self._backend, path)["last_modified"].timestamp())
        except NotFoundError:
            return None

    def settle(self, path: str | None = None) -> None:
        """Wait until what was written outlives a power failure; object stores do so anyway.

        Args:
            path: one file; None = all that was written.
        """
        if self.root is None:
            return
        if path is None:
            os.sync()
            return
        with self._translated(path):
            for place in (self.root / path, *(self.root / path).parents):
                _sync(place)
                if place == self.root:
                    break

    def paths(self, prefix: str) -> list[str]:
        """Paths of all files below a prefix, sorted."""
        with self._translated(prefix):
            found = [
                meta["path"] for chunk in obstore.list(self._backend, prefix) for meta in chunk
            ]
        return sorted(path for path in found if not path.rpartition("/")[2].startswith("."))

    def delete(self, path: str) -> None:
        """Remove one file; nothing happens if it is gone already."""
        try:
            with self._translated(path):
                obstore.delete(self._backend, path)
        except NotFoundError:
            return

    def write_table(self, prefix: str, table: pa.Table) -> tuple[str, str, int]:
        """Put a table as a content-addressed Parquet file.

        Returns:
            ``(path, sha256, n_bytes)``.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        return self.put_content(prefix, data, ".parquet"), digest(data), len(data)

    def read_table(
        self, path: str, columns: list[str] | None = None, sha256: str | None = None
    ) -> pa.Table:
        """A Parquet file as a table, its checksum verified where given.

        Raises:
            StoreError: if the file is no Parquet (half-written, or of another format).
        """
        data = self.read(path, sha256)
        try:
            return table_of_parquet(data, columns)
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise StoreError(f"{self.uri}/{path}", f"is no sound Parquet file ({error})") from error

    def read_pointer(self, path: str) -> tuple[dict[str, Any] | None, str | None]:
        """A pointer and the token that ``swap_pointer`` asks for.

        Returns:
            ``(value, token)``; ``(None, None)`` while it was never set.
        """
        try:
            with self._translated(path):
                found = obstore.get(self._backend, path)
                data = bytes(found.bytes())
                token = digest(data) if self.root is not None else _version(found.meta)
        except NotFoundError:
            return None, None
        try:
            value: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise ChecksumError(f"{self.uri}/{path}", f"is no JSON ({error})") from error
        return value, token

    def swap_pointer(self, path: str, value: dict[str, Any], expected: str | None) -> None:
        """Move a pointer, if nobody moved it since ``expected`` was read.

        Raises:
            ConflictError: if it was moved. Read it again, decide again, retry.
        """
        data = json.dumps(value, sort_keys=True, indent=1).encode()
        if self.root is not None:
            self._swap_local(self.root / path, data, expected)
            return
        mode: Any = "create" if expected is None else json.loads(expected)
        try:
            obstore.put(self._backend, path, data, mode=mode)
        except (AlreadyExistsError, PreconditionError) as error:
            raise self._conflict(path) from error
        except BaseError as error:
            raise StoreError(f"{self.uri}/{path}", f"cannot be written ({error})") from error

    def _swap_local(self, path: Path, data: bytes, expected: str | None) -> None:
        with self._translated(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path.with_name(f".{path.name}.lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = digest(path.read_bytes()) if path.exists() else None
                if current != expected:
                    raise self._conflict(str(path))
                handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).chmod(0o644)  # others may read a pointer, as they may the files
                Path(name).replace(path)

    def _conflict(self, path: str) -> ConflictError:
        return ConflictError(
            f"pointer {path} of {self.uri}",
            "was moved by another process",
            "Run the command again: it continues from the new state",
        )

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
            raise NotFoundError(f"{self.uri}/{path}", "does not exist") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{self.uri}/{path}", f"failed ({error})", _REMEDY) from error


def table_of_parquet(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table.

    ``pyarrow.parquet.read_table`` imports pandas, which takes longer than starting a shard.

    Raises:
        pa.ArrowInvalid: if it is none.
        KeyError: if it lacks a column.
    """
    table = pq.ParquetFile(pa.BufferReader(data)).read(columns)
    return table if columns is None else table.select(columns)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _version(meta: Any) -> str:
    """What a conditional put is held against: S3 compares the ``e_tag``, GCS the ``version``."""
    names = ("e_tag", "version")
    return json.dumps({name: meta[name] for name in names if meta.get(name) is not None})


_REMEDY = "Check that --store exists, that you may read and write it, and the cloud's credentials"
