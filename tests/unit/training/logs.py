"""Small logs to train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.events import NO_TEXT, UNKNOWN_ITEM, UNKNOWN_TEXT, EventArrays
from recsys.settings import Settings, load

N_ITEMS, N_TEXT = 40, 12

SMALL = (
    "train.id_dropout=0.0",
    "encoder.n_dims=8",
    "model.n_hidden=16",
    "model.n_half_lives=3",
    "model.n_negative_half_lives=1",
    "train.batch_events=256",
    "train.n_epochs=3",
    "train.learning_rate=0.01",
    "trend.half_lives_s=[3600, 86400]",
)


def settings(*more: str) -> Settings:
    """Settings of a small model."""
    return load(assignments=[*SMALL, *more])


def catalog(n_items: int = N_ITEMS) -> Catalog:
    """Items without anything but an id."""
    ids = [f"i{n:03d}" for n in range(n_items)]
    blank = [""] * n_items
    never = np.full(n_items, np.inf)
    return Catalog(ids, blank, blank, [()] * n_items, -never, never)


def text_vectors(rng: np.random.Generator, n_items: int = N_ITEMS) -> npt.NDArray[np.float32]:
    """(N, E) unit rows; the first one is empty."""
    vectors = rng.normal(size=(n_items, N_TEXT)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0.0
    return vectors


def dated(rng: np.random.Generator, log: EventArrays) -> Catalog:
    """The items of which every other one was born at a known time before the log."""
    birth = log.ts.min() - 86_400.0 * rng.random(N_ITEMS)
    known = np.arange(N_ITEMS) % 2 == 0
    return replace(catalog(), available_from=np.where(known, birth, -np.inf))


def events(
    rng: np.random.Generator, n_users: int = 20, n_events: int = 30, n_items: int = N_ITEMS
) -> EventArrays:
    """Each user walks from item to item, with some ratings, dislikes and equal times."""
    total = n_users * n_events
    user = np.repeat(np.arange(n_users), n_events).astype(np.int32)
    steps = rng.integers(1, 4, (n_users, n_events))
    item = (np.cumsum(steps, axis=1) + rng.integers(0, n_items, (n_users, 1))) % n_items
    gaps = np.exp(rng.uniform(0, 11, (n_users, n_events))) * (rng.random((n_users, n_events)) > 0.2)
    kind = np.where(rng.random(total) < 0.5, "rating", "click").astype(object)
    kind[rng.random(total) < 0.1] = "dislike"
    value = np.where(kind == "rating", rng.integers(1, 6, total), np.nan).astype(np.float64)
    return EventArrays(
        user_ids=[f"u{n:03d}" for n in range(n_users)],
        bounds=np.arange(n_users + 1, dtype=np.int64) * n_events,
        user=user,
        item=item.ravel().astype(np.int32),
        kind=kind,
        ts=1.7e9 + np.cumsum(gaps, axis=1).ravel(),
        value=value,
    )


def spoken(
    log: EventArrays, rng: np.random.Generator, n_texts: int = 7
) -> tuple[EventArrays, npt.NDArray[np.float32]]:
    """The log with searches, some without words, and with comments; and vectors of the texts."""
    item, kind = log.item.copy(), log.kind.copy()
    text = np.full(len(log), NO_TEXT, np.int32)
    searches, comments = rng.random(len(log)) < 0.2, rng.random(len(log)) < 0.1
    item[searches], kind[searches] = UNKNOWN_ITEM, "search"
    text[searches] = rng.integers(NO_TEXT, n_texts, int(searches.sum()))
    comments &= ~searches
    kind[comments] = "comment"
    text[comments] = rng.integers(UNKNOWN_TEXT, n_texts, int(comments.sum()))
    value = np.where(searches | comments, np.nan, log.value)
    words = rng.normal(size=(n_texts, N_TEXT)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    return replace(log, item=item, kind=kind, value=value, text=text), words
