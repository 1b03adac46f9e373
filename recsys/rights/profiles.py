"""The snapshots of a partition without who was erased: folded anew, for every bundle that has one.

The item trend of a partition is in its snapshots, so it forgets with them, and the trend board with
the shards that load them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recsys.archive import Archive
from recsys.basis import Basis
from recsys.bundle import Bundle, load_bundle
from recsys.encoder.cache import VectorCache
from recsys.errors import ChecksumError, ConfigError, ConflictError, NotFoundError
from recsys.folding import fold_partition, read_to_position
from recsys.interest.storage import Storage
from recsys.ledger import Ledger
from recsys.rights.archived import Removed
from recsys.settings import Settings
from recsys.snapshot import SnapshotKey, named_files, read_meta, save
from recsys.store import Store
from recsys.words import cached_words, texts_of

_ATTEMPTS = 10


def kept_snapshots(store: Store, tenant: str, partition: int) -> Iterator[SnapshotKey]:
    """The snapshots of a partition, of every bundle of a tenant."""
    folder = f"snapshots/{tenant}/"
    bundles = set()
    for path in store.paths(folder.rstrip("/")):
        parts = path.removeprefix(folder).split("/")
        if len(parts) == 3 and parts[1] == str(partition):
            bundles.add(parts[0])
    for bundle_id in sorted(bundles):
        yield SnapshotKey(tenant, bundle_id, partition)


def rewrite_snapshot(
    archive: Archive, ledger: Ledger, key: SnapshotKey, settings: Settings
) -> Removed:
    """Replace a snapshot by a fold of the record as it is now, and delete its files.

    Where its bundle cannot be loaded any more, it is deleted; words that no job has read wait, as
    they do in a shard.

    Args:
        archive: the past.
        ledger: the tail; knows who was erased.
        key: which snapshot.
        settings: of the process.

    Raises:
        ConflictError: if others keep saving snapshots that know more, and not the erasure.
    """
    store = archive.store
    if _is_aware(store, ledger, key):
        _sweep(store, key)
        return Removed()
    before = set(store.paths(key.prefix))
    try:
        bundle = load_bundle(store, key.tenant, key.bundle_id)
    except (ChecksumError, ConfigError, NotFoundError):
        _delete(store, key)
        return Removed(len(before))
    for attempt in range(_ATTEMPTS):
        try:
            _fold_anew(archive, ledger, key, bundle, settings)
            break
        except ConflictError:
            if _is_aware(store, ledger, key):
                break  # a shard was faster
            if attempt == _ATTEMPTS - 1:
                raise
    _sweep(store, key)
    return Removed(len(before - set(store.paths(key.prefix))))


def _fold_anew(
    archive: Archive, ledger: Ledger, key: SnapshotKey, bundle: Bundle, settings: Settings
) -> None:
    record, position = read_to_position(archive, ledger, key.partition, key.tenant)
    basis = Basis.of(bundle, settings)
    encoder = bundle.manifest["encoder"]
    texts = texts_of(record, basis.settings.interest) if basis.model.reads_text else []
    if encoder is not None and len(texts) > 0:
        cache = VectorCache(archive.store, encoder["id"])
        basis = replace(basis, words=cached_words(cache, basis.model, texts))
    table, trend = fold_partition(record, basis, Storage(basis.settings.serving.profile_dtype))
    save(archive.store, key, table, trend, position, rebase=True)


def _is_aware(store: Store, ledger: Ledger, key: SnapshotKey) -> bool:
    meta = read_meta(store, key)
    return meta is not None and meta.get("erasures", 0) >= ledger.erasure_version(key.tenant)


def _delete(store: Store, key: SnapshotKey) -> None:
    store.delete(key.pointer)
    for path in store.paths(key.prefix):
        store.delete(path)


def _sweep(store: Store, key: SnapshotKey) -> None:
    """Delete what nobody names: whoever wrote it before the pointer moved can never name it."""
    meta, moved = read_meta(store, key), store.modified(key.pointer)
    if meta is None or moved is None:
        return
    for path in set(store.paths(key.prefix)) - named_files(meta) - {key.pointer}:
        written = store.modified(path)
        if written is not None and written <= moved:
            store.delete(path)
