"""From what the pool answers to evidence: the profile that it holds, or a user's whole record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import UnavailableError
from recsys.events import event_arrays
from recsys.interest.model import FoldBatch
from recsys.reasons import history_evidence
from recsys.settings import Settings
from recsys.shelf import Evidence, Shelf
from recsys.words import Words, texts_of
from serving.pool.messages import ProfileView
from serving.word_reader import Encode

MAX_TEXTS = 64
"""Distinct texts of a user that are read for an explanation."""


def evidence_of(view: ProfileView) -> Evidence:
    """What a profile says."""
    return Evidence(
        query=view.query,
        mass_now=view.mass,
        banks=view.banks,
        recent_item=view.recent_item,
        recent_ts=view.recent_ts,
        recent_importance=view.recent_importance,
        recent_kind=np.array([*view.recent_kind, None], dtype=object)[:-1],
        recent_value=view.recent_value,
        seen=view.seen,
        shown_item=view.shown_item,
        shown_ts=view.shown_ts,
    )


def needs_record(view: ProfileView, shelf: Shelf) -> bool:
    """Whether there may be more to a profile than its recent events."""
    return view.n_events > len(view.recent_item) or shelf.model.reads_text


async def evidence_of_record(
    shelf: Shelf, view: ProfileView, record: pa.Table, settings: Settings, encode: Encode | None
) -> Evidence:
    """What a user's record says at the moment of a view; seen items are those of the view.

    Args:
        shelf: of the bundle.
        view: of the user.
        record: schema ``EVENTS``, all of this user.
        settings: of the process.
        encode: reads the user's words; None = they are passed over.

    Raises:
        UnavailableError: if the encoder is away, or there are too many words to read.
    """
    words = None
    texts = texts_of(record, shelf.interest) if shelf.model.reads_text else []
    if len(texts) > MAX_TEXTS:
        raise UnavailableError("texts of the record", f"are {len(texts)}", "It explains without")
    if len(texts) > 0 and encode is not None:
        vectors: npt.NDArray[np.float32] = await encode(texts)
        words = Words.of(shelf.model, texts, vectors)
    return await asyncio.to_thread(_folded, shelf, view, record, settings, words)


def _folded(
    shelf: Shelf, view: ProfileView, record: pa.Table, settings: Settings, words: Words | None
) -> Evidence:
    index = None if words is None else words.index
    until = pa.scalar(round(view.as_of * 1e6), pa.int64()).cast(record["ts"].type)
    log = event_arrays(
        record.filter(pc.less_equal(record["ts"], until)), shelf.catalog.index, index
    )
    events = FoldBatch.of(log, slice(None))
    texts = None if words is None else words.table
    found = history_evidence(shelf, events, settings.data, view.as_of, texts)
    held = evidence_of(view)
    return replace(found, seen=held.seen, shown_item=held.shown_item, shown_ts=held.shown_ts)
