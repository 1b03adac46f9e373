"""Point-in-time profiles: each query sees its user's events before it and nothing else.

The same fold as the online table, walked once per user: between two queries of a user only the
events between them are folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.decay.fold import replay_states
from recsys.events import EventArrays
from recsys.interest.model import (
    Banks,
    FoldBatch,
    InterestModel,
    ItemTable,
    Query,
    TextTable,
    nobody,
    split_banks,
)
from recsys.interest.zero_shot import ZeroShot, gaps, read_parts
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]

_CHUNK = 4_096
"""Queries whose states are held at once."""


class ReplayQueries(NamedTuple):
    """Q questions to the past, in any order."""

    user: npt.NDArray[np.integer[Any]]
    """(Q,) index into ``EventArrays.user_ids``; -1 = a user without events."""
    end: npt.NDArray[np.int64]
    """(Q,) offset into the events, exclusive: the history is ``events[bounds[user]:end]``."""
    as_of: npt.NDArray[np.float64]
    """(Q,) Unix seconds, not before the history's last event."""


def ends_before(
    events: EventArrays, user: npt.NDArray[np.integer[Any]], as_of: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """(Q,) ``ReplayQueries.end`` for histories of exactly the events with ``ts < as_of``."""
    ends: npt.NDArray[np.int64] = _ends_before(
        events.bounds, events.ts, np.asarray(user, np.int64), np.asarray(as_of, np.float64)
    )
    return ends


def replay(
    events: EventArrays,
    asked: ReplayQueries,
    model: InterestModel,
    items: ItemTable,
    settings: InterestSettings,
    texts: TextTable | None = None,
) -> Query:
    """What users asked for at moments in the past.

    Args:
        events: the log, sorted by (user, ts, seq).
        asked: the queries.
        model: what events are to a profile, and a profile to a query.
        items: N items.
        settings: the half-lives of the banks.
        texts: what the events' words are; None = words are passed over.

    Returns:
        A query of Q users, in the order of ``asked``: what ``ProfileTable.fold`` and
        ``InterestModel.query`` give.
    """
    empty = nobody(model, settings, items.n_dims)
    n_queries = len(asked.end)
    found = Query(*(np.zeros((n_queries, *part.shape[1:]), np.float32) for part in empty))
    for place, banks in _states(events, asked, model, (items, texts), settings):
        for whole, part in zip(found, model.query(banks, asked.as_of[place]), strict=True):
            whole[place] = part
    return found


def replay_parts(
    events: EventArrays,
    asked: ReplayQueries,
    model: ZeroShot,
    items: ItemTable,
    texts: TextTable | None = None,
) -> tuple[Floats, Floats]:
    """``c_h * mean_h`` of each half-life, for fitting the weights of a few thousand queries.

    Arguments as of ``replay``.

    Returns:
        (Q, H, D) and, for the negative bank, (Q, Hn, D), both float32 and in the order of
        ``asked``; the query vector is their weighted sum, the negative part subtracted.
    """
    settings = model.interest
    n_queries, n_dims = len(asked.end), items.n_dims
    positive = np.zeros((n_queries, len(settings.half_lives_s), n_dims), np.float32)
    negative = np.zeros((n_queries, len(settings.negative_half_lives_s), n_dims), np.float32)
    m_0 = settings.confidence_mass
    for place, banks in _states(events, asked, model, (items, texts), settings):
        gap_s = gaps(banks.t_ref, asked.as_of[place])
        good = read_parts(banks.sums, banks.mass, gap_s, settings.half_lives_s, m_0)
        bad = read_parts(
            banks.negative_sums,
            banks.negative_mass,
            gap_s,
            settings.negative_half_lives_s,
            m_0,
        )
        positive[place] = good.confidence[:, :, None] * good.mean
        negative[place] = bad.confidence[:, :, None] * bad.mean
    return positive, negative


def _states(
    events: EventArrays,
    asked: ReplayQueries,
    model: InterestModel,
    known: tuple[ItemTable, TextTable | None],
    settings: InterestSettings,
) -> Iterator[tuple[npt.NDArray[np.intp], Banks]]:
    """Places in ``asked`` and the evidence of those queries, some thousand queries at a time."""
    items, texts = known
    user, end = np.asarray(asked.user, np.int64), np.asarray(asked.end, np.int64)
    some = user >= 0
    starts = np.where(some, 0, end)
    starts[some] = events.bounds[user[some]]
    if np.any(end < starts) or np.any(end[some] > events.bounds[user[some] + 1]):
        raise ValueError("a query's history must end among its own user's events")
    if len(events) and events.item.max() >= len(items):
        raise ValueError(f"items must be of [-1, {len(items)}), the rows of vectors")
    half_lives_s = np.array([*settings.half_lives_s, *settings.negative_half_lives_s])
    order = np.lexsort((end, user))
    for first, stop in pairwise(_cuts(user[order])):
        place = order[first:stop]
        used, first_event, last_event = _histories(starts[place], end[place])
        batch = FoldBatch.of(events, used)
        log = (batch.ts, *model.evidence(batch, items, texts).arrays)
        sums = np.zeros((len(place), len(half_lives_s), items.n_dims), np.float32)
        mass = np.zeros((len(place), len(half_lives_s)), np.float32)
        t_ref = np.full(len(place), -np.inf)
        replay_states((sums, mass, t_ref), log, first_event, last_event, half_lives_s)
        yield place, split_banks(sums, mass, t_ref, len(settings.half_lives_s))


def _histories(starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """The events that some queries read, and where each query's history begins and ends in them.

    Args:
        starts: (q,) first event of each query's user; queries of one user stand together.
        ends: (q,) exclusive, rising within a user.

    Returns:
        (n,) positions in the log, user by user; and (q,) starts and (q,) ends among them.
    """
    is_last = np.append(starts[1:] != starts[:-1], True)[: len(starts)]
    begin, length = starts[is_last], (ends - starts)[is_last]
    offset = np.cumsum(length) - length
    used = np.arange(length.sum()) + np.repeat(begin - offset, length)
    shift = (offset - begin)[np.cumsum(is_last) - is_last]
    return used, starts + shift, ends + shift


def _cuts(user: npt.NDArray[np.int64]) -> list[int]:
    """Offsets that cut sorted queries into chunks of at most ``_CHUNK``.

    Inside a user only every ``_CHUNK``-th query of that user is a place to cut: so the last bits of
    a query depend on the earlier queries of its own user and on no other query.
    """
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if len(user) else np.zeros(0, int)
    since_start = np.arange(len(user)) - np.repeat(starts, np.diff(np.r_[starts, len(user)]))
    places = np.append(np.flatnonzero(since_start % _CHUNK == 0), len(user))
    cuts = [0]
    while cuts[-1] < len(user):
        cuts.append(int(places[np.searchsorted(places, cuts[-1] + _CHUNK, side="right") - 1]))
    return cuts


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _ends_before(
    bounds: npt.NDArray[np.int64], ts: Times, user: npt.NDArray[np.int64], as_of: Times
) -> npt.NDArray[np.int64]:
    ends = np.zeros(user.shape[0], np.int64)
    for q in range(user.shape[0]):
        if user[q] >= 0:
            low, high = bounds[user[q]], bounds[user[q] + 1]
            while low < high:
                middle = (low + high) // 2
                if ts[middle] < as_of[q]:
                    low = middle + 1
                else:
                    high = middle
            ends[q] = low
    return ends
