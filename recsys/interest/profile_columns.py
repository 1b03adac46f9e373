"""Profiles as named column groups, and back: what a snapshot holds, in either form of storage.

Group ``state`` has ``sums`` (float32) or ``means`` (float16); a table reads both. Groups that are
unknown here are kept as they came; such a group has to name its users itself, because the order of
rows changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recsys.interest import records
from recsys.interest.id_map import IdBytes
from recsys.interest.recent import fill, recent_columns, seen_columns
from recsys.interest.storage import Storage
from recsys.interest.waiting import WaitingEvents
from recsys.wishes.book import WishBook

if TYPE_CHECKING:
    from recsys.interest.profiles import ProfileTable

Column = npt.NDArray[Any]
Group = Mapping[str, Column]

STATE, RECENT, SEEN, WAITING, WISHES = "state", "recent", "seen", "waiting", "wishes"
SHOWN = "shown"
_EVICTED_AT_ONCE = 4_096


def columns_of(table: ProfileTable) -> dict[str, dict[str, Column]]:
    """Groups ``state``, ``recent``, ``seen``; those of few users if any; unknown ones."""
    parts = [_groups(table)]
    if table.eviction.file is not None:
        for profiles in table.eviction.file.parts(_EVICTED_AT_ONCE):
            some = _like(table)
            table.eviction.restore(profiles, some)
            parts.append(_groups(some))
    groups = parts[0] if len(parts) == 1 else _joined(parts)
    if len(table.waiting) > 0:
        groups[WAITING] = table.waiting.columns()
    if len(table.wishes) > 0:
        groups[WISHES] = table.wishes.columns()
    if len(table.shown) > 0:
        groups[SHOWN] = table.shown.columns()
    return {**{name: dict(group) for name, group in table.more.items()}, **groups}


def n_dims_of(columns: Mapping[str, Group]) -> int:
    """D of a snapshot's profiles."""
    state = columns[STATE]
    return int(state["sums" if "sums" in state else "means"].shape[2])


def fill_table(table: ProfileTable, columns: Mapping[str, Group]) -> None:
    """Fill an empty table.

    Raises:
        ValueError: if the columns were made with another number of half-lives.
    """
    state, place = columns[STATE], table.memory.place
    n_lives = state["mass"].shape[1] + state["negative_mass"].shape[1]
    if n_lives != place.n_half_lives or state["mass"].shape[1] != table.n_positive:
        raise ValueError(
            f"profiles of {n_lives} half-lives do not fit the settings' {place.n_half_lives}"
        )
    n_users, chunks = len(state["t_ref"]), table.memory.chunks
    table.ids.add(IdBytes.of(state["user_id"]))
    table.memory.add(n_users)
    first = place.mass
    for sign in ("", "negative_"):
        mass = np.asarray(state[f"{sign}mass"], np.float32)
        records.put_matrix(chunks, first, mass)
        vectors = _vectors(state, sign, mass, table.storage.is_half)
        size = vectors.itemsize * place.n_dims
        done = (first - place.mass) // mass.itemsize
        records.put_matrix(chunks, place.vectors + done * size, vectors)
        first += mass.itemsize * mass.shape[1]
    records.put_matrix(chunks, records.T_REF, np.asarray(state["t_ref"], np.float64))
    records.put_matrix(chunks, records.N_EVENTS, state["n_events"].astype(np.int32))
    blocks = (table.memory.ring, table.memory.seen)
    fill(table.memory.all(), blocks, table.interest.n_recent, columns[RECENT], columns[SEEN])
    table.eviction.saw(np.asarray(state["t_ref"], np.float64))
    if WAITING in columns:
        table.waiting = WaitingEvents.from_columns(columns[WAITING])
    if WISHES in columns:
        table.wishes = WishBook.from_columns(columns[WISHES])
    if SHOWN in columns:
        table.shown.fill(columns[SHOWN])
    known = {STATE, RECENT, SEEN, WAITING, WISHES, SHOWN}
    table.more = {name: group for name, group in columns.items() if name not in known}


def _like(table: ProfileTable) -> ProfileTable:
    """An empty table of the same settings, in which everybody stays in memory."""
    kinds = table.kinds, table.passive_kinds, table.itemless_kinds
    storage = Storage(table.storage.dtype)
    return type(table)(table.memory.place.n_dims, table.interest, *kinds, storage)


def _groups(table: ProfileTable) -> dict[str, dict[str, Column]]:
    place, chunks, n = table.memory.place, table.memory.chunks, len(table)
    name, kind = ("means", np.float16) if table.storage.is_half else ("sums", np.float32)
    width, n_good = np.dtype(kind).itemsize * place.n_dims, table.n_positive
    state: dict[str, Column] = {"user_id": np.array([*table.user_ids, None], dtype=object)[:-1]}
    for sign, first, count in (("", 0, n_good), ("negative_", n_good, place.n_half_lives - n_good)):
        shape = (count, place.n_dims)
        vectors = records.matrix(chunks, n, place.vectors + first * width, kind, shape)
        state[f"{sign}{name}"] = vectors
        state[f"{sign}mass"] = records.matrix(
            chunks, n, place.mass + 4 * first, np.float32, (count,)
        )
    state["t_ref"] = table.t_ref
    state["n_events"] = table.n_events.astype(np.int64)
    held = table.memory.all()
    return {STATE: state, RECENT: recent_columns(held), SEEN: seen_columns(held)}


def _vectors(state: Group, sign: str, mass: Column, is_half: bool) -> Column:
    """Sums or means, whichever is wanted, of what is there."""
    sums, means = state.get(f"{sign}sums"), state.get(f"{sign}means")
    if sums is None:
        means = np.asarray(means, np.float16)
        return means if is_half else means.astype(np.float32) * mass[..., None]
    sums = np.asarray(sums, np.float32)
    return records.half_means(sums, mass) if is_half else sums


def _joined(parts: list[dict[str, dict[str, Column]]]) -> dict[str, dict[str, Column]]:
    first = 0
    for part in parts:
        part[SEEN]["row"] = part[SEEN]["row"] + np.int32(first)
        first += len(part[STATE]["t_ref"])
    return {
        group: {name: np.concatenate([part[group][name] for part in parts]) for name in columns}
        for group, columns in parts[0].items()
    }
