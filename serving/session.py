"""An anonymous session as evidence: folded on the spot like any profile, and stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.errors import EventError
from recsys.events import NO_TEXT, UNKNOWN_ITEM
from recsys.interest.model import FoldBatch, InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import gaps, half_lives_passed
from recsys.settings import DataSettings
from recsys.shelf import Evidence
from recsys.words import weighs
from serving.api.checks import check_id, parse_time
from serving.api.schemas import SessionIn, SessionItem

TEXT_KIND = "search"
"""A visitor's own words are an event of this kind, as a user's are."""
PLAIN_KIND = "click"
"""What they are to a bundle that reads no words: an item that says the same."""


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
    model: InterestModel,
    events: list[SessionEvent],
    words: npt.NDArray[np.float32] | None,
    as_of: float,
) -> Evidence:
    """What a session says at a moment.

    Args:
        bundle: item vectors and settings.
        model: the bundle's, in this process.
        events: touched items, none later than ``as_of``.
        words: (1, E) what the encoder makes of the visitor's words; None = there are none.
        as_of: Unix seconds.
    """
    interest = bundle.settings.interest
    table = ProfileTable(bundle.n_dims, interest, bundle.settings.data.kinds)
    rows = np.array([event.row for event in events], np.int32)
    kinds = [event.kind for event in events]
    ts = [event.ts for event in events]
    items = bundle.items.pick(rows)
    item, text, texts = np.arange(len(rows), dtype=np.int32), None, None
    if words is not None and model.reads_text and weighs(TEXT_KIND, interest):
        item, texts = np.append(item, np.int32(UNKNOWN_ITEM)), model.text_table(words)
        text = np.where(item == UNKNOWN_ITEM, 0, NO_TEXT).astype(np.int32)
        kinds, ts = [*kinds, TEXT_KIND], [*ts, as_of]
    elif words is not None:
        said = ItemTable(bundle.projection.project(words), np.zeros(1, np.bool_))
        item, items = np.append(item, np.int32(len(rows))), items.with_more(said)
        kinds, ts = [*kinds, PLAIN_KIND], [*ts, as_of]
    user = table.rows([""], create=True)
    batch = FoldBatch(
        item=item,
        ts=np.array(ts, np.float64),
        kind=np.array([*kinds, None], dtype=object)[:-1],
        value=np.full(len(item), np.nan),
        text=text,
    )
    table.fold(np.repeat(user, len(item)), batch, model, items, texts)
    banks = table.banks(user)
    recent = table.recent(0)
    place_of = np.append(rows, np.int32(-1))  # the text stands for no item
    known_kinds = np.array([*table.kinds, None], dtype=object)
    left = half_lives_passed(gaps(banks.t_ref, as_of), interest.half_lives_s)
    return Evidence(
        query=model.query(banks, as_of),
        mass_now=(banks.mass * left)[0],
        banks=banks,
        recent_item=place_of[recent.item],
        recent_ts=recent.ts,
        recent_importance=recent.importance,
        recent_kind=known_kinds[np.minimum(recent.kind, len(table.kinds))],
        recent_value=recent.value,
        seen=np.unique(rows),
    )
