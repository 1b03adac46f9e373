"""Snapshots: the profiles and the trend of one partition, as files that recovery can trust.

Each *named column group* is one file (``recsys.column_groups``), so a later part adds a group
without a rewrite.

A pointer per (tenant, bundle, partition) names the files with their checksums and the place in the
record up to which events are folded: (archive manifest, ledger sequence). Files come first, then
the pointer is swapped. The files of the last but one generation stay for readers on their way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import xxhash

from recsys.column_groups import Column, decode_group, encode_group
from recsys.errors import ChecksumError, ConflictError, NotFoundError, StoreError
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import Storage
from recsys.settings import Settings
from recsys.snapshot_order import Position, SnapshotKey, before, check_latest, check_replaces
from recsys.store import Store, digest
from recsys.trend import TrendState

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
_REMEDY = "Run `python -m pipelines.bootstrap`"

TREND = "trend"
"""Group of the item trend; the other groups are those of ``ProfileTable``."""

__all__ = [
    "TREND",
    "Position",
    "Snapshot",
    "SnapshotKey",
    "load",
    "load_groups",
    "named_files",
    "read_meta",
    "save",
    "save_groups",
]

Groups = Mapping[str, Mapping[str, Column]]


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot."""

    table: ProfileTable
    trend: TrendState
    position: Position
    """What is folded in."""
    meta: dict[str, Any]
    """The pointer: format, key, position, ``n_users`` and the files."""


def save(
    store: Store,
    key: SnapshotKey,
    table: ProfileTable,
    trend: TrendState,
    position: Position,
    rebase: bool = False,
) -> dict[str, Any]:
    """Write the snapshot of a partition and move its pointer; see ``save_groups``."""
    groups = {**table.columns(), TREND: trend.columns()}
    return save_groups(store, key, groups, position, rebase)


def load(
    store: Store, key: SnapshotKey, settings: Settings, storage: Storage | None = None
) -> Snapshot | None:
    """The newest snapshot of a partition; None if there is none.

    Args:
        store: where from.
        key: which snapshot.
        settings: those of the bundle, against which the events were folded.
        storage: how profiles are held; None = as ``serving`` says, all in memory.

    Raises:
        ChecksumError: if a file is not what was published. Fold the record again.
        ValueError: if the settings have another number of half-lives.
    """
    loaded = load_groups(store, key)
    if loaded is None:
        return None
    groups, meta = loaded
    data = settings.data
    trend = groups.pop(TREND)
    kinds = data.kinds, data.passive_kinds, data.itemless_kinds
    storage = Storage(settings.serving.profile_dtype) if storage is None else storage
    table = ProfileTable.from_columns(groups, settings.interest, *kinds, storage)
    table.trim()
    position = Position(meta["ledger_seq"], meta["archive_manifest"], meta.get("erasures", 0))
    return Snapshot(table, TrendState.from_columns(trend), position, meta)


def save_groups(
    store: Store, key: SnapshotKey, groups: Groups, position: Position, rebase: bool = False
) -> dict[str, Any]:
    """Write a snapshot and move its pointer.

    Args:
        store: where to.
        key: which snapshot.
        groups: group -> column -> array.
        position: what is folded in.
        rebase: the groups were folded anew from the record, so they may replace a snapshot of
            another archive manifest. An owner that goes on from a loaded snapshot leaves it False.

    Returns:
        The pointer's value.

    Raises:
        ConflictError: if the stored snapshot knows more than this one (a larger ledger sequence,
            whose rows may be trimmed already; or another archive manifest), if the archive moved
            on since the groups were folded, or if it was replaced at this very moment; or if
            somebody was erased since who may be in the groups.
    """
    old, token = store.read_pointer(key.pointer)
    if old is not None:
        check_replaces(key, old, position, rebase)
        check_latest(store, key, old, position)
    files = {}
    for name, columns in sorted(groups.items()):
        data = encode_group(columns)
        path = store.put_content(key.prefix, data, f".{name}.arrow")
        files[name] = {
            "path": path,
            "sha256": digest(data),
            "xxh3_128": xxhash.xxh3_128_hexdigest(data),
            "n_bytes": len(data),
        }
    value = {
        "format_version": FORMAT_VERSION,
        **asdict(key),
        **asdict(position),
        "n_users": len(groups.get("state", {}).get("user_id", ())),
        "files": files,
        **before(old, position),
    }
    try:
        store.swap_pointer(key.pointer, value, token)
    except ConflictError:
        _delete_unnamed(store, key, files)
        raise
    if old is not None:
        _delete_older(store, value, old)
    return value


def _delete_older(store: Store, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    kept = named_files(new)
    for path in sorted(named_files(old) - kept):
        store.delete(path)


def _delete_unnamed(store: Store, key: SnapshotKey, files: Mapping[str, Any]) -> None:
    """Leave nothing behind of a snapshot that was overtaken."""
    current = read_meta(store, key)
    kept = set() if current is None else named_files(current)
    for file in files.values():
        if file["path"] not in kept:
            store.delete(file["path"])


def named_files(meta: Mapping[str, Any]) -> set[str]:
    """Paths of the files that a pointer names, those of the generation before included."""
    return {file["path"] for name in ("files", "previous") for file in meta[name].values()}


def read_meta(store: Store, key: SnapshotKey) -> dict[str, Any] | None:
    """The pointer of a snapshot, without its columns; None if there is none.

    Raises:
        StoreError: if it was written by a later version of Halflife.
    """
    meta, _ = store.read_pointer(key.pointer)
    if meta is not None and meta["format_version"] != FORMAT_VERSION:
        raise StoreError(
            f"snapshot {key.prefix}",
            f"has format {meta['format_version']}, this version reads {FORMAT_VERSION}",
            "Upgrade Halflife, or run `python -m pipelines.bootstrap`",
        )
    return meta


def load_groups(
    store: Store, key: SnapshotKey
) -> tuple[dict[str, dict[str, Column]], dict[str, Any]] | None:
    """The newest sound snapshot of a key: the last one, or the one before of the same archive.

    Returns:
        ``(groups, pointer value)``, or None if there is none.

    Raises:
        ChecksumError: if neither is what was published. Fold the record again.
        NotFoundError: if a file is gone and the pointer still names it.
    """
    meta = read_meta(store, key)
    while meta is not None:
        try:
            return {name: _read_group(store, file) for name, file in meta["files"].items()}, meta
        except NotFoundError:
            newer = read_meta(store, key)
            if newer is None or newer["files"] == meta["files"]:
                raise
            meta = newer  # two generations passed while we read
        except ChecksumError as error:
            older = _previous(meta)
            if older is None:
                raise
            log.warning("snapshot %s is not sound, the one before it is taken: %s", key, error)
            meta = older
    return None


def _previous(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The pointer of the snapshot before, where it holds all that its archive does."""
    if meta.get("previous_ledger_seq") is None:
        return None
    if meta["previous_archive_manifest"] != meta["archive_manifest"]:
        return None
    older = {**meta, "files": meta["previous"], "ledger_seq": meta["previous_ledger_seq"]}
    return {**older, "previous": {}, "previous_ledger_seq": None}


def _read_group(store: Store, file: Mapping[str, Any]) -> dict[str, Column]:
    """A group, checked by the faster of its checksums; it stands in mapped memory if it can."""
    fast = file.get("xxh3_128")
    data = store.mapped(file["path"], file["sha256"] if fast is None else None)
    if fast is not None and xxhash.xxh3_128_hexdigest(data) != fast:
        raise ChecksumError(f"{store.uri}/{file['path']}", "is not what was published", _REMEDY)
    return decode_group(data, copied=False)
