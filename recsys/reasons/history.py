"""A user's whole history as evidence: what the profile pool holds, and what stands behind it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.interest.id_map import IdBytes
from recsys.interest.model import FoldBatch, TextTable
from recsys.interest.prepared import UNKNOWN_KIND
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import codes_of, signed_importance
from recsys.settings import DataSettings
from recsys.shelf import Behind, Evidence, Shelf


def history_evidence(
    shelf: Shelf, events: FoldBatch, data: DataSettings, as_of: float, texts: TextTable | None
) -> Evidence:
    """What a user's events say, folded from nothing; the effects of the recent ones are exact.

    Args:
        shelf: of the bundle.
        events: all T of one user, each once, in any order; none after ``as_of``.
        data: the kinds.
        as_of: the moment, Unix seconds.
        texts: what the events' words are; None = words are passed over.
    """
    table = ProfileTable(
        shelf.items.n_dims, shelf.interest, data.kinds, data.passive_kinds, data.itemless_kinds
    )
    recent, behind_it, following = _parted(events, data, shelf.interest.n_recent)
    rows = table.rows(["whole", "behind"], create=True)
    everything = np.zeros(len(events.ts), np.int64)
    table.fold(everything + rows[0], events, shelf.model, shelf.items, texts)
    some = events.pick(behind_it)
    table.fold(everything[behind_it] + rows[1], some, shelf.model, shelf.items, texts)
    banks = table.banks(rows[:1])
    shown = table.shown.of(IdBytes.of(["whole"]))
    worth = signed_importance(events.kind, events.value, shelf.interest)
    return Evidence(
        query=shelf.model.query(banks, as_of),
        banks=banks,
        recent_item=events.item[recent],
        recent_ts=events.ts[recent],
        recent_importance=worth[recent],
        recent_kind=events.kind[recent],
        recent_value=events.value[recent],
        seen=table.seen(int(rows[0])),
        shown_item=shown.item,
        shown_ts=shown.ts,
        behind=Behind(
            banks=table.banks(rows[1:]),
            recent_text=None if events.text is None else events.text[recent],
            texts=texts,
            next_item=events.item[following],
            next_ts=events.ts[following],
            next_importance=worth[following],
        ),
    )


def _parted(
    events: FoldBatch, data: DataSettings, n_recent: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The events that a ring holds, the newest first; all others; and the one that is next."""
    passive = np.isin(events.kind.astype(str), data.passive_kinds)
    kept = np.flatnonzero((events.item >= 0) & ~passive)
    code_of = {kind: code for code, kind in enumerate(data.kinds)}
    code = codes_of(events.kind[kept], code_of, UNKNOWN_KIND)
    keys = (code, events.item[kept].astype(np.int64), events.ts[kept])
    order = kept[np.lexsort(keys)[::-1]]
    others = np.setdiff1d(np.arange(len(events.ts)), order[:n_recent])
    return order[:n_recent], others, order[n_recent : n_recent + 1]
