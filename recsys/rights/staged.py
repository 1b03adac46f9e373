"""What jobs have put aside: staged training runs, batch outputs, and files of jobs that died.

Rows of a staged run are rewritten under their old names, so a run that goes on, or is resumed,
learns from what is left. An output is known by its path, which the job that made it wrote down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.errors import StoreError
from recsys.rights.archived import Removed
from recsys.store import DIGEST_CHARS, Store, digest

OUTPUTS = "outputs"
OURS = frozenset(
    {"archive", "blobs", "bundles", "items", "outputs", "quarantine", "reports", "scratch"}
    | {"snapshots", "training", "users", "vectors"}
)
"""Folders of the store that somebody else looks after, or that hold nothing about users."""
WIPED = "-"
"""Stands where a text was."""
SCRATCH_S = 86_400.0
"""Age of scratch files that surely no job uses any more, seconds."""


def remember_output(store: Store, place: str) -> None:
    """Write down where a job put a file with user ids, so that an erasure finds it.

    Args:
        store: of the job.
        place: absolute path.
    """
    data = json.dumps({"path": place}).encode()
    store.write(f"{OUTPUTS}/{digest(place.encode())[:DIGEST_CHARS]}.json", data)


def outputs(store: Store) -> list[str]:
    """The paths that ``remember_output`` wrote down."""
    return [json.loads(store.read(path))["path"] for path in store.paths(OUTPUTS)]


def remove_staged(store: Store, tenant: str, user_id: str, texts: frozenset[str]) -> Removed:
    """Remove a user's rows, and the words that only they wrote, from all training runs."""
    removed = Removed()
    for path in store.paths(f"training/{tenant}"):
        kind = path.removeprefix(f"training/{tenant}/").split("/")[1:2]
        if kind == ["rows"] and path.endswith(".arrow"):
            removed += _without_rows(store, path, user_id)
        elif kind == ["catalog"] and path.endswith(".parquet"):
            removed += _without_texts(store, path, texts)
    return removed


def _without_rows(store: Store, path: str, user_id: str) -> Removed:
    table = pa.ipc.open_file(pa.BufferReader(store.read(path))).read_all()
    rest = table.filter(pc.not_equal(table["user_id"], user_id))
    if len(rest) == len(table):
        return Removed()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rest.schema) as writer:
        writer.write_table(rest.combine_chunks())
    store.write(path, sink.getvalue().to_pybytes())
    return Removed(1, len(table) - len(rest))


def _without_texts(store: Store, path: str, texts: frozenset[str]) -> Removed:
    """Rows of texts keep their places, which events refer to."""
    table = store.read_table(path)
    if table.column_names != ["text"] or len(texts) == 0:
        return Removed()
    said = table["text"].to_pylist()
    n_wiped = sum(text in texts for text in said)
    if n_wiped == 0:
        return Removed()
    wiped = pa.table({"text": [WIPED if text in texts else text for text in said]})
    new, sha256, _ = store.write_table(path.rpartition("/")[0], wiped)
    pointer = f"{path.rpartition('/catalog/')[0]}/CURRENT"
    run, token = store.read_pointer(pointer)
    if run is not None and run.get("plan", {}).get("texts") == path:
        plan = {**run["plan"], "texts": new, "texts_sha256": sha256}
        store.swap_pointer(pointer, {**run, "plan": plan}, token)
    store.delete(path)
    return Removed(1, n_wiped)


def without_user(data: bytes, user_id: str) -> tuple[bytes, int] | None:
    """A Parquet file without the rows of a user, and how many went.

    Returns:
        None where it holds none of theirs, or has no column ``user_id``.

    Raises:
        StoreError: if it is no Parquet file.
    """
    try:
        names = pq.read_schema(pa.BufferReader(data)).names
        if "user_id" not in names:
            return None
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError("a batch output", f"is no sound Parquet file ({error})") from error
    ids = table["user_id"].cast(pa.string())
    rest = table.filter(pc.not_equal(ids, user_id))
    if len(rest) == len(table):
        return None
    sink = pa.BufferOutputStream()
    pq.write_table(rest, sink, compression="zstd")
    return sink.getvalue().to_pybytes(), len(table) - len(rest)


def remove_from_strays(store: Store, user_id: str) -> Removed:
    """Rewrite the Parquet files that somebody put into the store beside ours."""
    removed = Removed()
    for path in store.paths(""):
        if path.split("/")[0] in OURS or not path.endswith(".parquet"):
            continue
        found = without_user(store.read(path), user_id)
        if found is not None:
            store.write(path, found[0])
            removed += Removed(1, found[1])
    return removed


def remove_scratch(store: Store, user_id: str, now: float) -> tuple[Removed, list[str]]:
    """Delete what ingests that died have left, and name what may be in use and holds the user.

    Args:
        store: where.
        user_id: whom.
        now: Unix seconds.
    """
    removed, left = Removed(), []
    for path in store.paths("scratch"):
        written = store.modified(path)
        if written is not None and now - written > SCRATCH_S:
            store.delete(path)
            removed += Removed(1)
        elif written is not None and user_id in _scratch_users(store, path):
            left.append(path)
    return removed, left


def _scratch_users(store: Store, path: str) -> Iterator[Any]:
    data = store.read(path)
    if path.endswith(".parquet"):
        table = pq.read_table(pa.BufferReader(data))
        yield from table["user_id"].to_pylist() if "user_id" in table.column_names else ()
    elif path.endswith(".bin"):
        n_offsets = int(np.frombuffer(data[:8], np.int64)[0]) // 8
        offsets = np.frombuffer(data[: 8 * n_offsets], np.int64).tolist()
        for first, last in pairwise(offsets):
            if last > first:
                stream = pa.ipc.open_stream(pa.py_buffer(memoryview(data)[first:last]))
                yield from stream.read_all()["user_id"].to_pylist()
