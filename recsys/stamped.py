"""Tables that are written anew for a few rows, each with a stamp of its own.

No two are the same file then, so that an old one can be deleted for good.
"""

from __future__ import annotations

import pyarrow as pa

from recsys.errors import DataError
from recsys.ingestion.entities import KEYS, merge_entities
from recsys.manifest import FileRef
from recsys.store import Store

STAMP = b"written"


def write_merged(
    store: Store, kind: str, tables: tuple[pa.Table, pa.Table], stamp: str, limit: int
) -> FileRef:
    """Write a table with some rows in place of those that have the same keys.

    Args:
        store: where.
        kind: ``items`` or ``users``.
        tables: what is there, and the rows.
        stamp: never used before.
        limit: most rows of a table that is written this way.

    Raises:
        DataError: if there are more.
    """
    merged = merge_entities(*tables, KEYS[kind])
    if len(merged) > limit:
        problem = f"are more than {limit}, too many to write a few at a time"
        raise DataError(kind, problem, "Write them with `python -m pipelines.ingest`")
    stamped = {**(merged.schema.metadata or {}), STAMP: stamp.encode()}
    path, sha256, _ = store.write_table(kind, merged.replace_schema_metadata(stamped))
    return FileRef(path, sha256)
