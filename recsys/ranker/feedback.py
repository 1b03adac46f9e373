"""Slates that users answered, found again in a log by their impressions.

A slate is what one user was shown under one ``request_id``; it was shown at its first impression.
An item is taken where the user acted on it positively within a window from then on. Slates of one
item, of which nothing or everything was taken, say nothing about an order and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.evaluation.composition import Stage, questions
from recsys.evaluation.scene import Asked
from recsys.events import EventArrays, timestamps_s
from recsys.interest.shown import IMPRESSION
from recsys.ranker.online import Shown
from recsys.ranker.scoring import feature
from recsys.ranker.viewed import one_view
from recsys.slate import by_encoder
from recsys.sources.gather import given

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answered:
    """One slate."""

    user: int
    """Index into ``EventArrays.user_ids``."""
    at: float
    """Unix seconds of the first impression."""
    item: Ints
    """(n,) distinct catalog rows."""
    is_taken: npt.NDArray[np.bool_]
    """(n,)."""


def answered_slates(
    table: pa.Table,
    events: EventArrays,
    positive: npt.NDArray[np.bool_],
    item_index: Mapping[str, int],
    window: tuple[float, float, float],
) -> list[Answered]:
    """The slates of a log, by time.

    Args:
        table: the log, with ``request_id``.
        events: the same log, sorted.
        positive: (T,) which of ``events`` count as taken.
        item_index: item id -> catalog row.
        window: slates shown after the first moment and up to the second (Unix seconds) are found,
            with answers within so many seconds.
    """
    since, until, answer_s = window
    shown = table.filter(pc.equal(table["kind"], IMPRESSION))
    shown = shown.filter(pc.is_valid(shown["request_id"]))
    index = {user_id: u for u, user_id in enumerate(events.user_ids)}
    slates: dict[tuple[int, str], dict[int, float]] = {}
    columns = (shown[name].to_pylist() for name in ("user_id", "request_id", "item_id"))
    for user_id, request_id, item_id, ts in zip(*columns, timestamps_s(shown["ts"]), strict=True):
        row = item_index.get(item_id)
        if row is not None:
            seen = slates.setdefault((index[user_id], request_id), {})
            seen[row] = min(seen.get(row, np.inf), float(ts))
    found = []
    for (user, _), seen in slates.items():
        at = min(seen.values())
        if since < at <= until:
            item = np.array(sorted(seen), np.int64)
            taken = np.isin(item, _acts(events, positive, user, (at, at + answer_s)))
            if 0 < taken.sum() < len(item):
                found.append(Answered(user, at, item, taken))
    return sorted(found, key=lambda slate: (slate.at, slate.user))


def _acts(
    events: EventArrays,
    positive: npt.NDArray[np.bool_],
    user: int,
    span: tuple[float, float],
) -> npt.NDArray[np.int32]:
    """What a user acted on positively between two moments."""
    run = slice(int(events.bounds[user]), int(events.bounds[user + 1]))
    ts = events.ts[run]
    chosen: npt.NDArray[np.int32] = events.item[run][
        positive[run] & (ts >= span[0]) & (ts <= span[1])
    ]
    return chosen


def shown_as_then(stage: Stage, asked: Asked, slates: Sequence[Answered]) -> list[Shown]:
    """What the model reads of answered slates, each as of the moment that it was shown.

    Args:
        stage: the past; its shelf has the ranking model.
        asked: a query for each slate, in their order, ``with_histories``.
        slates: by time.
    """
    ranker = stage.shelf.ranker
    assert ranker is not None
    found = []
    for slate, question in zip(slates, questions(stage, asked), strict=True):
        everything = np.ones(len(question.allowed), np.bool_)
        candidates = given(slate.item)
        ranked = by_encoder(replace(question, allowed=everything), candidates, len(slate.item))
        items = (ranked.rows, question.trend_features, ranked.parts)
        viewed = one_view(stage.shelf, question.evidence, items, question.as_of, ranker.options)
        read = [feature(name).read(viewed)[0] for name in ranker.options.features]
        taken = np.isin(ranked.rows, slate.item[slate.is_taken])
        found.append(Shown(ranked.scores.astype(np.float64), np.stack(read, axis=1), taken))
    return found
