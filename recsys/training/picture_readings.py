"""What a learned model says of interest: importance by kind, fading, a user who waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.interest.learned import LearnedInterest
from recsys.interest.model import Banks, FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import RATING, half_lives_passed, weigh
from recsys.ranking import interest_part
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0)
_MOST_ITEMS = 2_000
_UNHEARD_OF = "?"


class Example(NamedTuple):
    """One event of a kind, as its importance is shown."""

    label: str
    kind: str
    value: float
    """NaN = it comes without one."""
    is_negative: bool
    """Which bank it goes to."""


class Later(NamedTuple):
    """One profile as time goes by without an event."""

    gap_s: Times
    """(G,) seconds since the last event."""
    confidence: Floats
    """(G, H) share of confidence in each positive half-life, 0 .. 1."""
    warm_trend: Floats
    """(G, Ht) weights of the trends of items with events in training."""
    cold_trend: Floats
    """(G, Ht) weights of the trends of all others."""
    cold_offset: Floats
    """(G,)."""
    spread: Floats
    """(G,) standard deviation over the items of the interest part of their score."""


def examples(
    model: LearnedInterest, interest: InterestSettings, kinds: Sequence[str], seen: FoldBatch
) -> list[Example]:
    """An event of each kind that is evidence and was met in training, of ratings one per value.

    Args:
        model: a kind whose embedding is still zero, as all are at first, was not met.
        interest: which kinds are evidence, and of which sign.
        kinds: in the order of training.
        seen: events; a kind's value is the median of theirs, if they have any.
    """
    met = np.any(model.to_tensors()["event.kind.weight"][: len(kinds)] != 0.0, axis=1)
    found: list[Example] = []
    for kind, is_met in zip(kinds, met, strict=True):
        if not is_met:
            continue
        values = RATINGS if kind == RATING else (_value_of(kind, seen),)
        weight, negative = weigh(np.full(len(values), kind, object), np.array(values), interest)
        for value, some, bad in zip(values, weight, negative, strict=True):
            if some > 0.0:
                label = f"{kind} {value:g}" if kind == RATING else kind
                found.append(Example(label, kind, value, bool(bad)))
    return found


def importances(model: LearnedInterest, items: ItemTable, shown: Sequence[Example]) -> Floats:
    """(X, H + Hn) importance of each example, the mean over items that were trained on."""
    rows = _sample(items)
    found = np.zeros((len(shown), model.n_half_lives), np.float32)
    for place, example in enumerate(shown):
        kind = np.full(len(rows), example.kind, object)
        value = np.full(len(rows), example.value)
        found[place] = model.importance_of(kind, value, items.vectors[rows]).mean(axis=0)
    return found


def remaining(importance: Floats, half_lives_s: Sequence[float], age_s: Times) -> Floats:
    """What is left of one event in all half-lives of a bank together.

    Args:
        importance: (H,) of the event.
        half_lives_s: (H,) seconds.
        age_s: (G,) seconds.

    Returns:
        (G,) shares of what it was at first.
    """
    left = half_lives_passed(age_s, half_lives_s) @ importance
    out: Floats = (left / max(float(importance.sum()), 1e-12)).astype(np.float32)
    return out


def profile_of(
    model: LearnedInterest,
    items: ItemTable,
    interest: InterestSettings,
    kinds: Sequence[str],
    events: FoldBatch,
) -> Banks:
    """The profile of one user after some events; without any an empty one."""
    profiles = ProfileTable(items.n_dims, interest, kinds)
    row = profiles.rows(["user"], create=True)
    profiles.fold(np.repeat(row, len(events.ts)), events, model, items)
    return profiles.banks(row)


def later(
    model: LearnedInterest, items: ItemTable, interest: InterestSettings, banks: Banks, gap_s: Times
) -> Later:
    """Read one profile as of later and later moments.

    Args:
        model: asked for the query.
        items: N items.
        interest: the half-lives.
        banks: of one user; the evidence of somebody without events stays none.
        gap_s: (G,) seconds since the last event.
    """
    many = banks.pick(np.zeros(len(gap_s), np.int64))
    start = np.where(np.isfinite(many.t_ref), many.t_ref, 0.0)
    query = model.query(many, start + gap_s)
    now = many.mass * half_lives_passed(gap_s, interest.half_lives_s)
    vectors = items.vectors[_sample(items)]
    spread = [float(interest_part(u, vectors).std()) for u in query.vectors]
    return Later(
        gap_s=gap_s,
        confidence=(now / (now + interest.confidence_mass)).astype(np.float32),
        warm_trend=query.warm_trend,
        cold_trend=query.cold_trend,
        cold_offset=query.cold_offset,
        spread=np.array(spread, np.float32),
    )


def typical_events(rows: pa.Table, kinds: Sequence[str]) -> FoldBatch:
    """The run with the median number of events.

    Args:
        rows: ``USER_ROWS``; none gives no events.
        kinds: names by code.
    """
    if len(rows) == 0:
        nothing = np.zeros(0)
        return FoldBatch(nothing.astype(np.int32), nothing, nothing.astype(object), nothing)
    sizes = np.array([len(run) for run in rows["item"]])
    chosen = int(np.argsort(sizes, kind="stable")[len(sizes) // 2])
    part: dict[str, Any] = {
        name: np.array(rows[name][chosen].as_py()) for name in ("item", "ts", "kind", "value")
    }
    names = np.array([*kinds, _UNHEARD_OF], object)
    return FoldBatch(
        part["item"].astype(np.int32),
        part["ts"].astype(np.float64),
        names[np.minimum(part["kind"].astype(np.int64), len(kinds))],
        part["value"].astype(np.float64),
    )


def _value_of(kind: str, seen: FoldBatch) -> float:
    values = seen.value[(seen.kind == kind) & np.isfinite(seen.value)]
    return float(np.median(values)) if len(values) else float("nan")


def _sample(items: ItemTable) -> npt.NDArray[np.int64]:
    """Rows of items that were trained on (of all, if there are none), evenly spread."""
    rows = np.flatnonzero(items.warm) if items.warm.any() else np.arange(len(items))
    few = min(len(rows), _MOST_ITEMS)
    return rows[np.linspace(0, len(rows) - 1, few).astype(np.int64)]
