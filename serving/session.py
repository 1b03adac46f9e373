"""An anonymous session as evidence: folded on the spot like any profile, and stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.errors import EventError
from recsys.interest.profiles import FoldBatch, ProfileTable
from recsys.interest.zero_shot import gaps, half_lives_passed, queries
from recsys.ranking import RankingWeights
from recsys.settings import DataSettings
from recsys.slate import Evidence
from serving.api.checks import check_id, parse_time
from serving.api.schemas import SessionIn, SessionItem

TEXT_KIND = "click"
"""A visitor's own words weigh as much as one event of this kind."""


@dataclass(frozen=True)
class SessionEvent:
    """One touched item of the catalog."""

    row: int
    kind: str
    ts: float


def read_session(
    session: SessionIn, as_of: float, index: Mapping[str, int], data: DataSettings
) -> tuple[list[SessionEvent], list[str]]:
    """The touched items that the catalog has, and the ids of those that it lacks.

    Args:
        session: what the client sent.
        as_of: Unix seconds; later times count as this one.
        index: item id -> row of the catalog.
        data: limits and kinds.

    Raises:
        EventError: if an id, a kind or a time is unsound.
    """
    events, unknown = [], []
    for place, given in enumerate(session.items):
        item = SessionItem(item_id=given) if isinstance(given, str) else given
        name = f"items[{place}]"
        check_id(f"{name}.item_id", item.item_id, data.max_id_bytes)
        if item.kind not in data.kinds:
            raise EventError(f"{name}.kind", "is not known", f"Known: {', '.join(data.kinds)}")
        ts = as_of if item.ts is None else min(as_of, parse_time(f"{name}.ts", item.ts))
        row = index.get(item.item_id)
        if row is None:
            unknown.append(item.item_id)
        else:
            events.append(SessionEvent(row, item.kind, ts))
    return events, unknown


def session_evidence(
    bundle: Bundle,
    weights: RankingWeights,
    events: list[SessionEvent],
    text_vector: npt.NDArray[np.float32] | None,
    as_of: float,
) -> Evidence:
    """What a session says at a moment.

    Args:
        bundle: item vectors and settings.
        weights: of the half-lives.
        events: touched items, none later than ``as_of``.
        text_vector: (D,) unit vector of the visitor's words; None = no words.
        as_of: Unix seconds.
    """
    interest = bundle.settings.interest
    table = ProfileTable(bundle.n_dims, interest, bundle.settings.data.kinds)
    rows = np.array([event.row for event in events], np.int32)
    kinds = [event.kind for event in events]
    ts = [event.ts for event in events]
    vectors = bundle.vectors[rows]
    if text_vector is not None:
        vectors = np.concatenate([vectors, text_vector[None].astype(np.float32)])
        kinds, ts = [*kinds, TEXT_KIND], [*ts, as_of]
    user = table.rows([""], create=True)
    batch = FoldBatch(
        item=np.arange(len(vectors), dtype=np.int32),
        ts=np.array(ts, np.float64),
        kind=np.array([*kinds, None], dtype=object)[:-1],
        value=np.full(len(vectors), np.nan),
    )
    table.fold(np.repeat(user, len(vectors)), batch, vectors)
    banks = table.banks(user)
    recent = table.recent(0)
    place_of = np.append(rows, np.int32(-1))  # the text stands for no item
    return Evidence(
        u=queries(banks, as_of, weights, interest)[0],
        mass_now=(banks.mass * half_lives_passed(gaps(banks.t_ref, as_of), interest.half_lives_s))[
            0
        ],
        recent_item=place_of[recent.item],
        recent_ts=recent.ts,
        recent_importance=recent.importance,
        seen=np.unique(rows),
    )
