"""A small world of topics, and its graph."""

from __future__ import annotations

from functools import cache

import numpy as np

from recsys.catalog import Catalog, catalog_from_items
from recsys.encoder.projection import unit_rows
from recsys.events import EventArrays, event_arrays
from recsys.graph.interest_graph import InterestGraph, unconnected
from recsys.graph.options import GraphSettings
from recsys.interest.model import ItemTable
from recsys.settings import DAY_S, InterestSettings
from recsys.testing.worlds import TOPICS, WorldSize, drift

OPTIONS = GraphSettings(edge_half_life_s=10 * DAY_S)
INTEREST = InterestSettings()
SIZE = WorldSize(n_users=40, n_items=120, n_events=1_500, n_topics=5)


@cache
def planted() -> tuple[Catalog, ItemTable, EventArrays, np.ndarray]:
    """A catalog of five topics, its items, what was done, and the topic of each item."""
    world = drift(SIZE, np.random.default_rng(5))
    catalog = catalog_from_items(world.items)
    topic = np.asarray(world.truth["item_topic"])
    noise = np.random.default_rng(6).normal(size=(SIZE.n_items, 8))
    vectors = unit_rows(np.eye(8)[topic] + 0.1 * noise).astype(np.float32)
    vectors[7] = 0.0
    events = event_arrays(world.events, catalog.index)
    return catalog, ItemTable.all_warm(vectors), events, topic


@cache
def graph() -> InterestGraph:
    """Of the planted world."""
    catalog, items, events, _ = planted()
    begun = unconnected(catalog, items, OPTIONS, float(events.ts.max()))
    return begun.connected([begun.count(events, INTEREST)])


def topic_words(topic: int) -> set[str]:
    """What items of a topic say."""
    return set(TOPICS[topic].split())


def said_by(rows: list[tuple[str, int, float]]) -> EventArrays:
    """Clicks as (user, catalog row, Unix seconds), sorted by user and time."""
    users = sorted({user for user, _, _ in rows})
    user = np.array([users.index(one) for one, _, _ in rows], np.int32)
    return EventArrays(
        user_ids=users,
        bounds=np.searchsorted(user, np.arange(len(users) + 1)).astype(np.int64),
        user=user,
        item=np.array([item for _, item, _ in rows], np.int32),
        kind=np.array(["click"] * len(rows), object),
        ts=np.array([ts for _, _, ts in rows]),
        value=np.full(len(rows), np.nan),
    )
