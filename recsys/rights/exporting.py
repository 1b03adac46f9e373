"""Everything that is held about a user, as JSON: what they may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import snapshot
from recsys.archive import Archive
from recsys.basis import Basis
from recsys.bundle import Bundle, load_bundle
from recsys.bundle_manifest import current_bundle_id
from recsys.encoder.cache import VectorCache
from recsys.errors import ChecksumError, ConfigError, NotFoundError
from recsys.events import timestamps_s
from recsys.folding import fold_partition, fold_record, read_to_position
from recsys.interest.id_map import IdBytes
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import gaps, half_lives_passed
from recsys.ledger import Ledger
from recsys.rights.erasures import erasures_of
from recsys.rights.profiles import kept_snapshots
from recsys.rights.quarantined import rows_of
from recsys.schema import partition_of
from recsys.settings import InterestSettings, Settings
from recsys.snapshot import SnapshotKey
from recsys.words import cached_words, texts_of

_TIMES = ("ts", "ingested_at")


def held(
    archive: Archive,
    ledger: Ledger,
    user: tuple[str, str],
    settings: Settings,
    as_of: float,
) -> dict[str, Any]:
    """Everything in store and ledger about a user; batch outputs aside.

    Args:
        archive: the past.
        ledger: the tail.
        user: tenant and user id.
        settings: of the process.
        as_of: Unix seconds of the profiles; a later event moves it.

    Returns:
        ``events`` (with the columns of the schema, times in Unix seconds), ``profiles`` (one per
        bundle), ``attributes``, ``n_followers``, ``quarantine``, and ``erased_until`` (None if they
        never were).
    """
    tenant, user_id = user
    partition = partition_of(tenant, user_id, archive.n_partitions)
    record, _ = read_to_position(archive, ledger, partition, tenant)
    mine = record.filter(pc.equal(record["user_id"], user_id))
    attributes, n_followers = _attributes(archive, tenant, user_id)
    until = erasures_of(ledger, tenant).of(user_id)
    profiles = []
    for bundle_id in _bundle_ids(archive, tenant, partition):
        try:
            bundle = load_bundle(archive.store, tenant, bundle_id)
        except (ChecksumError, ConfigError, NotFoundError):
            continue  # nobody can read its snapshots either
        basis = _basis(archive, bundle, settings, mine)
        found = _from_snapshot(
            archive, ledger, SnapshotKey(tenant, bundle_id, partition), basis, user_id
        )
        table = fold_partition(mine, basis)[0] if found is None else found
        profiles.append(profile_of(table, bundle, user_id, as_of))
    return {
        "tenant": tenant,
        "user_id": user_id,
        "as_of": as_of,
        "erased_until": None if until is None else until / 1e6,
        "events": _plain(mine),
        "profiles": profiles,
        "attributes": attributes,
        "n_followers": n_followers,
        "quarantine": list(rows_of(archive, user_id)),
    }


def profile_of(table: ProfileTable, bundle: Bundle, user_id: str, as_of: float) -> dict[str, Any]:
    """What a table says of a user, as of a moment: masses by half-life, recent and seen items.

    Args:
        table: folded against the bundle.
        bundle: names its items.
        user_id: whose.
        as_of: Unix seconds; a user's latest event if that is later.
    """
    row = int(table.rows([user_id])[0])
    wishes = [wish.as_json() for wish in table.wishes.of(user_id)]
    if row < 0:
        return {"bundle_id": bundle.bundle_id, "is_known": False, "wishes": wishes}
    t_ref, interest = float(table.t_ref[row]), table.interest
    moment = max(as_of, t_ref)
    recent, items = table.recent(row), bundle.catalog.item_ids
    shown = table.shown.of(IdBytes.of([user_id]))
    waiting = [event.text for event in table.waiting if event.row == row]
    return {
        "bundle_id": bundle.bundle_id,
        "is_known": True,
        "as_of": moment,
        "latest_event": t_ref if np.isfinite(t_ref) else None,
        "n_events": int(table.n_events[row]),
        "interest": _masses(table, row, moment, interest),
        "recent": [
            {"item_id": _name(items, item), "ts": float(ts), "importance": float(importance)}
            for item, ts, importance in zip(recent.item, recent.ts, recent.importance, strict=True)
        ],
        "shown": [
            {"item_id": _name(items, item), "ts": ts}
            for item, ts in zip(shown.item.tolist(), shown.ts.tolist(), strict=True)
        ],
        "seen": [_name(items, item) for item in table.seen(row).tolist()],
        "waiting_words": waiting,
        "wishes": wishes,
    }


def _masses(
    table: ProfileTable, row: int, moment: float, interest: InterestSettings
) -> list[dict[str, Any]]:
    banks = table.banks(np.array([row]))
    gap = gaps(banks.t_ref, np.array([moment]))
    found = []
    for name, lives, mass in (
        ("positive", interest.half_lives_s, banks.mass),
        ("negative", interest.negative_half_lives_s, banks.negative_mass),
    ):
        now = mass[0] * half_lives_passed(gap, lives)[0]
        found += [
            {"bank": name, "half_life_s": float(life), "mass": float(value)}
            for life, value in zip(lives, now, strict=True)
        ]
    return found


def _name(item_ids: Any, item: int) -> str | None:
    return str(item_ids[item]) if item >= 0 else None


def _bundle_ids(archive: Archive, tenant: str, partition: int) -> list[str]:
    found = {key.bundle_id for key in kept_snapshots(archive.store, tenant, partition)}
    current = current_bundle_id(archive.store, tenant)
    return sorted(found | ({current} if current is not None else set()))


def _basis(archive: Archive, bundle: Bundle, settings: Settings, mine: pa.Table) -> Basis:
    basis = Basis.of(bundle, settings)
    encoder = bundle.manifest["encoder"]
    texts = texts_of(mine, basis.settings.interest) if basis.model.reads_text else []
    if encoder is None or len(texts) == 0:
        return basis
    words = cached_words(VectorCache(archive.store, encoder["id"]), basis.model, texts)
    return replace(basis, words=words)


def _from_snapshot(
    archive: Archive, ledger: Ledger, key: SnapshotKey, basis: Basis, user_id: str
) -> ProfileTable | None:
    """The snapshot with the user's events of the tail; None where there is none that will do."""
    erasures = erasures_of(ledger, key.tenant)
    try:
        found = snapshot.load(archive.store, key, basis.settings)
    except (ChecksumError, NotFoundError):
        return None
    if found is None or found.position.erasures < erasures.version:
        return None
    seq = found.position.ledger_seq
    tail = ledger.tail(key.partition, seq, key.tenant)
    if ledger.trimmed_seq(key.partition) > seq:
        return None
    fresh = erasures.kept(tail.filter(pc.equal(tail["user_id"], user_id)))
    fold_record(found.table, found.trend, fresh, basis)
    return found.table


def _attributes(archive: Archive, tenant: str, user_id: str) -> tuple[dict[str, Any] | None, int]:
    """What is known about a user, and by how many others they are followed."""
    manifest = archive.manifest()
    if manifest is None:
        return None, 0
    users = archive.users(manifest, tenant)
    n_followers = sum(user_id in (names or ()) for names in users["follows"].to_pylist())
    rows = users.filter(pc.equal(users["user_id"], user_id)).to_pylist()
    if len(rows) == 0:
        return None, n_followers
    return {**rows[0], "attributes": dict(rows[0]["attributes"] or ())}, n_followers


def _plain(events: pa.Table) -> list[dict[str, Any]]:
    for name in _TIMES:
        place = events.column_names.index(name)
        events = events.set_column(place, name, pa.array(timestamps_s(events[name])))
    rows: list[dict[str, Any]] = events.to_pylist()
    return rows
