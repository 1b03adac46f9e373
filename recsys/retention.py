"""Retention: events older than a horizon leave the archive, and nothing names them any more.

    1. files that hold older events are written anew without them      nobody names them yet
    2. one publish names the new files, and the old ones as retired    readers switch at once
    3. the retired files are deleted

Profiles keep what they once added up from those events, and forget it by decay; whatever is folded
anew is folded from what is retained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.archive import Archive, DataFile, Manifest
from recsys.events import timestamps_s
from recsys.settings import DAY_S

Keep = Callable[[pa.Table], npt.NDArray[np.bool_]]
"""Events of a file -> (T,) which of them stay."""
Rewrites = Mapping[str, tuple[DataFile, ...]]
"""What stands in the place of a file: another one, or none."""


def horizon_s(now: float, retention_days: float) -> float:
    """The time from which events are retained: a whole UTC day, so that files change once a day.

    Args:
        now: Unix seconds.
        retention_days: no event is kept for longer.

    >>> horizon_s(now=10.25 * 86_400, retention_days=3) / 86_400
    8.0
    """
    return math.ceil((now - retention_days * DAY_S) / DAY_S) * DAY_S


def rewrite_partition(
    archive: Archive,
    manifest: Manifest,
    partition: int,
    keep: Keep,
    is_touched: Callable[[DataFile], bool] = lambda _: True,
) -> dict[str, tuple[DataFile, ...]]:
    """Write the files of a partition anew without some events; nobody names them yet.

    Args:
        archive: where.
        manifest: whose files.
        partition: which.
        keep: which events stay.
        is_touched: whether a file may lack any; others are not read.

    Returns:
        What stands in the place of each file that changes.
    """
    found: dict[str, tuple[DataFile, ...]] = {}
    for file in filter(is_touched, manifest.partition(partition).files):
        table = archive.store.read_table(file.path, None, file.sha256)
        stays = keep(table)
        if stays.all():
            continue
        kept = table.filter(pa.array(stays))
        found[file.path] = (archive.write_events(partition, kept),) if len(kept) > 0 else ()
    return found


def without_older(
    archive: Archive, manifest: Manifest, horizon: float
) -> Iterator[tuple[int, Rewrites]]:
    """``rewrite_partition`` of every partition that holds events before a time (Unix seconds)."""
    for partition in range(manifest.n_partitions):
        rewrites = rewrite_partition(
            archive,
            manifest,
            partition,
            keep=lambda table: timestamps_s(table["ts"]) >= horizon,
            is_touched=lambda file: file.min_ts < horizon,
        )
        if len(rewrites) > 0:
            yield partition, rewrites


def replaced(manifest: Manifest, rewrites: Rewrites, **changes: Any) -> Manifest:
    """A manifest that names other files instead of some, which it names as retired.

    Args:
        manifest: the current one; files that it does not name any more are left alone.
        rewrites: what stands in the place of which file.
        changes: of other fields.
    """
    partitions, retired = {}, set(manifest.retired)
    for number, part in manifest.partitions.items():
        files: list[DataFile] = []
        for file in part.files:
            files += rewrites.get(file.path, (file,))
            if file.path in rewrites:
                retired.add(file.path)
        partitions[number] = replace(part, files=tuple(files))
    return replace(manifest, partitions=partitions, retired=tuple(sorted(retired)), **changes)


def retained(manifest: Manifest, rewrites: Rewrites, horizon: float) -> Manifest:
    """``replaced``, with the horizon written down; it never moves back."""
    since = max(horizon, manifest.retained_since or horizon)
    return replaced(manifest, rewrites, retained_since=since)


def delete_retired(archive: Archive) -> int:
    """Delete the files that the current manifest names as retired, then let it forget them.

    Whoever is killed in between leaves them to the next call.

    Returns:
        How many there were.
    """
    manifest = archive.manifest()
    if manifest is None or len(manifest.retired) == 0:
        return 0
    named = {file.path for part in manifest.partitions.values() for file in part.files}
    gone = [path for path in manifest.retired if path not in named]
    for path in gone:
        archive.store.delete(path)
    done = set(manifest.retired)
    archive.publish(
        lambda current: replace(
            current, retired=tuple(path for path in current.retired if path not in done)
        )
    )
    return len(gone)
