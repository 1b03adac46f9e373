"""The counterfactual: what a user would be asked for, had one event not happened."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recsys.errors import EventError
from recsys.reasons.effects import Histories
from recsys.shelf import Evidence, Shelf


@dataclass(frozen=True)
class Named:
    """One recent event of a user."""

    position: int
    """0 = the latest."""
    item_id: str
    title: str
    kind: str
    ts: float


_BY_ITEM, _BY_POSITION = "item:", "event:"


def find_event(shelf: Shelf, evidence: Evidence, name: str) -> Named:
    """The recent event that is meant.

    Args:
        shelf: of the bundle.
        evidence: of the user.
        name: an item id, which means the latest event of that item, or a position (0 = the
            latest); where it could be both it is the item. ``item:ID`` and ``event:POSITION`` say
            which.

    Raises:
        EventError: if there is no such event.
    """
    items = np.asarray(evidence.recent_item)
    row = shelf.catalog.index.get(name.removeprefix(_BY_ITEM))
    places = np.flatnonzero(items == row) if row is not None else np.zeros(0, np.int64)
    number = name.removeprefix(_BY_POSITION)
    if len(places) > 0 and not name.startswith(_BY_POSITION):
        place = int(places[0])
    elif number.isdecimal() and int(number) < len(items) and items[int(number)] >= 0:
        place = int(number)
    else:
        raise EventError(
            f"without {name!r}",
            f"is none of the {len(items)} recent events",
            "Give an item id of one of them, or its position from 0, the latest",
        )
    row = int(items[place])
    return Named(
        position=place,
        item_id=shelf.catalog.item_ids[row],
        title=shelf.catalog.label(row),
        kind=str(evidence.recent_kind[place]),
        ts=float(evidence.recent_ts[place]),
    )


def without_event(shelf: Shelf, evidence: Evidence, position: int, as_of: float) -> Evidence:
    """What the user would be, had one of the recent events not happened.

    The state is folded again from the others; what was seen stays seen, so that the two slates
    differ by taste alone.

    Args:
        shelf: of the bundle.
        evidence: of the user, with a state.
        position: of the event, 0 = the latest.
        as_of: the moment, Unix seconds.

    Raises:
        ValueError: if there is no such event, or no state.
    """
    histories = Histories(shelf, evidence)
    if not 0 <= position < histories.n_events:
        raise ValueError(f"event {position} of {histories.n_events}")
    banks = histories.banks.pick(slice(position + 1, position + 2))
    kept = np.flatnonzero(np.arange(histories.n_events) != position)
    behind = evidence.behind
    more = 0 if behind is None else len(behind.next_item)
    found = replace(
        evidence,
        query=shelf.model.query(banks, as_of),
        banks=banks,
        recent_item=np.asarray(evidence.recent_item)[kept],
        recent_ts=evidence.recent_ts[kept],
        recent_importance=evidence.recent_importance[kept],
        recent_kind=evidence.recent_kind[kept],
        recent_value=evidence.recent_value[kept],
        behind=None,
    )
    if behind is None or more == 0:
        return found
    return replace(
        found,
        recent_item=np.append(found.recent_item, behind.next_item),
        recent_ts=np.append(found.recent_ts, behind.next_ts),
        recent_importance=np.append(found.recent_importance, behind.next_importance),
        recent_kind=np.append(found.recent_kind, np.array([None], object)),
        recent_value=np.append(found.recent_value, np.nan),
    )
