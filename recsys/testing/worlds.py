"""Synthetic worlds whose truth is known, at any size, for tests and benchmarks.

    drift       each user's taste is a topic, and switches a few times
    news        items are born all the time and are read at a median age of two days
    recovery    item ~ softmax(beta * sum_h w_h mean_h(t) . item): decayed means and nothing else

Every draw comes from the generator that is given: the same seed makes the same world.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.datasets import canonical
from recsys.schema import EVENTS, ITEMS, USERS
from recsys.settings import DAY_S, HOUR_S
from recsys.testing.plain import START, Floats, Integers, numbered, times

TOPICS = (
    "space rockets planets orbit",
    "cooking pasta garlic recipe",
    "football goal league striker",
    "guitar melody concert chords",
    "stocks market shares inflation",
    "garden roses soil pruning",
    "detective murder clue alibi",
    "hiking mountain trail summit",
    "medicine hospital surgery vaccine",
    "castle knight sword king",
    "cars engine racing tyres",
    "painting gallery canvas portrait",
)
"""Words of the topics; a world with more topics adds numbered ones."""


@dataclass(frozen=True)
class WorldSize:
    """How large a world is."""

    n_users: int = 200
    """U."""
    n_items: int = 600
    """N."""
    n_events: int = 20_000
    """T; recovery gives every user the same share of it."""
    n_topics: int = 12
    """Tastes that a user can have, and kinds of items."""
    n_dims: int = 16
    """D of the true item vectors."""
    span_s: float = 90 * DAY_S
    """Time that drift and news cover."""


@dataclass(frozen=True)
class World:
    """A log with its truth."""

    events: pa.Table
    """Canonical, in order of time; ``seq`` is the row."""
    items: pa.Table
    """Canonical; row i has the id ``item_id(i)``."""
    users: pa.Table
    """Canonical."""
    item_vectors: npt.NDArray[np.float32]
    """(N, D) unit vectors, in the order of ``items``."""
    truth: dict[str, Any]
    """What a model should find; see each world."""


@dataclass(frozen=True)
class RecoveryLaw:
    """The one law of the recovery world."""

    half_lives_s: tuple[float, ...] = (2 * HOUR_S, 3 * DAY_S, 60 * DAY_S)
    """The H half-lives that a model should recover."""
    weights: tuple[float, ...] = (0.4, 0.3, 0.3)
    """(H,) weight of each decayed mean."""
    beta: float = 8.0
    """Sharpness of the choice."""
    gap_s: tuple[float, float] = (600.0, 120 * DAY_S)
    """Shortest and longest gap between two events of a user; log-uniform between them."""


_BLOCK = 2_048  # users that step together; bounds memory to _BLOCK x N


def item_id(index: int) -> str:
    """Id of an item by its position in a world."""
    return f"i{index:06d}"


def user_id(index: int) -> str:
    """Id of a user by position in a world."""
    return f"u{index:06d}"


def drift(size: WorldSize, rng: np.random.Generator, n_tastes: int = 3) -> World:
    """Tastes that switch: at any time a user wants one topic; 90% of the events are of it.

    Truth: ``item_topic`` (N,), ``user_topics`` (U, n_tastes), ``switches`` (U, n_tastes - 1) Unix
    seconds at which the next taste begins.
    """
    item_topic = np.arange(size.n_items) % size.n_topics
    topics = _changing(rng, size.n_users, n_tastes, size.n_topics)
    switches = np.sort(START + size.span_s * rng.random((size.n_users, n_tastes - 1)), axis=1)
    user, ts = _arrivals(size, rng)
    taste = topics[user, (ts[:, None] >= switches[user]).sum(axis=1)]
    loyal = rng.random(size.n_events) < 0.9
    topic = np.where(loyal, taste, rng.integers(size.n_topics, size=size.n_events))
    n_of_topic = np.bincount(item_topic, minlength=size.n_topics)[topic]
    rank = (n_of_topic * rng.random(size.n_events) ** 2).astype(np.int64)  # few items are popular
    truth = {"item_topic": item_topic, "user_topics": topics, "switches": switches}
    events = _events(user, topic + size.n_topics * rank, ts)
    return _world(size, events, item_topic, _topic_vectors(item_topic, size, rng), truth)


def news(size: WorldSize, rng: np.random.Generator, median_life_s: float = 2 * DAY_S) -> World:
    """Items born all the time, read at a median age of ``median_life_s``; tastes are steady.

    Truth: ``item_topic`` (N,), ``born`` (N,) Unix seconds (also ``created_at`` of the items),
    ``user_topics`` (U, 2), ``median_life_s``.
    """
    burn_in_s = 10 * median_life_s
    born = np.sort(START - burn_in_s + (burn_in_s + size.span_s) * rng.random(size.n_items))
    born[: size.n_topics] = START - burn_in_s  # every topic has something to read at once
    item_topic = np.arange(size.n_items) % size.n_topics
    topics = _changing(rng, size.n_users, 2, size.n_topics)
    user, ts = _arrivals(size, rng)
    topic = topics[user, (rng.random(size.n_events) < 0.3).astype(np.int64)]
    age = rng.exponential(median_life_s / np.log(2.0), size.n_events)
    item = np.empty(size.n_events, dtype=np.int64)
    for one in range(size.n_topics):
        mine, rows = np.flatnonzero(item_topic == one), np.flatnonzero(topic == one)
        item[rows] = mine[_nearest(born[mine], ts[rows] - age[rows], ts[rows])]
    truth = {
        "item_topic": item_topic,
        "born": born,
        "user_topics": topics,
        "median_life_s": median_life_s,
    }
    vectors = _topic_vectors(item_topic, size, rng)
    return _world(size, _events(user, item, ts), item_topic, vectors, truth)


def recovery(size: WorldSize, rng: np.random.Generator, law: RecoveryLaw | None = None) -> World:
    """Each next item is drawn from softmax(beta * sum_h w_h mean_h(t) . item), nothing else.

    The mean of a user without events is zero, so that a first item is drawn evenly; every event has
    importance 1 and the item's vector as its value.

    Truth: ``half_lives_s``, ``weights``, ``beta``, and ``log_likelihood`` (T,): the true log
    probability of each event, in the order of ``events``; no model can be better on average.
    """
    law = RecoveryLaw() if law is None else law
    vectors = _unit(rng.standard_normal((size.n_items, size.n_dims)))
    n_steps = max(1, size.n_events // size.n_users)
    low, high = np.log(law.gap_s[0]), np.log(law.gap_s[1])
    gap = np.exp(rng.uniform(low, high, (size.n_users, n_steps)))
    gap[:, 0] = 30 * DAY_S * rng.random(size.n_users)
    blocks = [_drawn(gap[u : u + _BLOCK], vectors, law, rng) for u in range(0, len(gap), _BLOCK)]
    item, likelihood = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    ts = START + np.cumsum(np.floor(gap), axis=1)
    order = np.argsort(ts, axis=None, kind="stable")
    user = np.repeat(np.arange(size.n_users), n_steps)
    truth = {
        "half_lives_s": law.half_lives_s,
        "weights": law.weights,
        "beta": law.beta,
        "log_likelihood": likelihood.ravel()[order],
    }
    events = _events(user[order], item.ravel()[order], ts.ravel()[order])
    return _world(size, events, None, vectors, truth)


def write(world: World, folder: str | Path) -> dict[str, Path]:
    """Write ``events``, ``items`` and ``users`` as Parquet, vectors as ``.npy``, truth as JSON.

    Returns:
        Paths by these names, and ``item_vectors`` and ``truth``.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = {name: place / f"{name}.parquet" for name in ("events", "items", "users")}
    for name, path in paths.items():
        pq.write_table(getattr(world, name), path)
    vectors, truth = place / "item_vectors.npy", place / "truth.json"
    np.save(vectors, world.item_vectors)
    truth.write_text(json.dumps(world.truth, default=lambda array: array.tolist()))
    return {**paths, "item_vectors": vectors, "truth": truth}


def _drawn(
    gap: Floats, vectors: Floats, law: RecoveryLaw, rng: np.random.Generator
) -> tuple[Integers, Floats]:
    """(U, steps) items and their log probabilities; all users take a step at once."""
    n_users, n_steps = gap.shape
    half_lives, weights = np.array(law.half_lives_s), np.array(law.weights)
    mean = np.zeros((n_users, len(half_lives), vectors.shape[1]))  # a mean stays while time passes,
    mass = np.zeros((n_users, len(half_lives)))  # only its mass fades
    item = np.empty((n_users, n_steps), dtype=np.int64)
    likelihood = np.empty((n_users, n_steps))
    for step in range(n_steps):
        mass *= np.exp2(-np.floor(gap[:, step, None]) / half_lives)
        logits = law.beta * np.einsum("h,bhd->bd", weights, mean) @ vectors.T
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        chosen = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
        item[:, step], likelihood[:, step] = chosen, logits[np.arange(n_users), chosen]
        mean += (vectors[chosen][:, None, :] - mean) / (mass[:, :, None] + 1.0)
        mass += 1.0
    return item, likelihood


def _nearest(born: Floats, wanted: Floats, ts: Floats) -> Integers:
    """The one born nearest to ``wanted``, among those born by ``ts``; ``born`` is sorted."""
    after = np.searchsorted(born, wanted)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(born) - 1)
    later = (born[after] <= ts) & (born[after] - wanted < wanted - born[before])
    return np.where(later, after, before)


def _changing(rng: np.random.Generator, n_users: int, n_tastes: int, n_topics: int) -> Integers:
    """(U, n_tastes) topics; no taste is like the one before it."""
    steps = rng.integers(1, max(2, n_topics), size=(n_users, n_tastes))
    steps[:, 0] = rng.integers(n_topics, size=n_users)
    return np.asarray(np.cumsum(steps, axis=1) % n_topics, dtype=np.int64)


def _arrivals(size: WorldSize, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """(T,) users and whole seconds, in order of time."""
    ts = np.sort(np.floor(START + size.span_s * rng.random(size.n_events)))
    return rng.integers(size.n_users, size=size.n_events), ts


def _topic_vectors(topic: Integers, size: WorldSize, rng: np.random.Generator) -> Floats:
    centres = _unit(rng.standard_normal((size.n_topics, size.n_dims)))
    noise = 0.5 * rng.standard_normal((size.n_items, size.n_dims)) / np.sqrt(size.n_dims)
    return _unit(centres[topic] + noise)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _events(user: Integers, item: Integers, ts: Floats) -> pa.Table:
    n = len(ts)
    stamps = times(ts)
    return canonical(
        EVENTS,
        n,
        event_id=numbered("e", np.arange(n)),
        user_id=[user_id(u) for u in user],
        item_id=[item_id(i) for i in item],
        kind=pa.repeat("click", n),
        ts=stamps,
        seq=np.arange(n),
        ingested_at=stamps,
    )


def _world(
    size: WorldSize,
    events: pa.Table,
    topic: Integers | None,
    vectors: Floats,
    truth: dict[str, Any],
) -> World:
    n = size.n_items
    names = [_words(t) for t in topic] if topic is not None else ["thing"] * n
    born = truth.get("born")
    items = canonical(
        ITEMS,
        n,
        item_id=[item_id(i) for i in range(n)],
        title=[f"{name.split()[0]} {i}" for i, name in enumerate(names)],
        text=names if topic is not None else [f"thing number {i}" for i in range(n)],
        categories=[[name.split()[0]] for name in names],
        created_at=None if born is None else times(born),
    )
    users = canonical(USERS, size.n_users, user_id=[user_id(u) for u in range(size.n_users)])
    return World(events, items, users, vectors.astype(np.float32), truth)


def _words(topic: int) -> str:
    return TOPICS[topic] if topic < len(TOPICS) else f"topic{topic}"
