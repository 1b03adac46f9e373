"""What the parts measure: a log in memory with its catalog and text vectors, and splits of it.

Text vectors are encoded once and kept in the cache folder, named by a hash of encoder and texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipelines.datasets import fetch
from pipelines.downloads import cache_folder
from pipelines.models import model_folder
from recsys.catalog import Catalog, catalog_from_items
from recsys.encoder.text import TextEncoder
from recsys.evaluation.nearness import with_only
from recsys.evaluation.split import Queries, draw_users, time_at_share, time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays, event_arrays
from recsys.interest.zero_shot import is_positive
from recsys.settings import Settings
from recsys.testing.fakes import HashEncoder
from recsys.testing.worlds import World

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

TIME_SHARE = 0.8
HASH_DIMS = 64


@dataclass(frozen=True)
class Log:
    """Everything that happened, and what is said of the items."""

    name: str
    events: EventArrays
    catalog: Catalog
    """N items."""
    text: Floats | None
    """(N, E) text vectors, zero rows = no text; None = no item says anything."""
    settings: Settings

    @cached_property
    def positive(self) -> Bools:
        """(T,) right answers."""
        return is_positive(self.events.kind, self.events.value, self.settings.interest)

    @cached_property
    def touches(self) -> Touches:
        """What each user has touched, and when."""
        return Touches(self.events, self.settings.data.passive_kinds)

    @property
    def split_time(self) -> float:
        """Unix seconds from which the last fifth of the events begins."""
        return time_at_share(self.events.ts, TIME_SHARE)

    def only(self, kept: Bools) -> Log:
        """The same with some events (T,)."""
        return replace(self, events=with_only(self.events, kept))

    def under(self, settings: Settings) -> Log:
        """The same read under other settings."""
        return replace(self, settings=settings)

    def new_queries(self, start: float, n_max: int) -> Queries:
        """Questions of a time split for items new to their users; at most about ``n_max``."""
        return new_to_user(self, time_queries(self.events, self.positive, start), n_max)


def new_to_user(log: Log, queries: Queries, n_max: int, wanted: Bools | None = None) -> Queries:
    """Some whole users' queries, drawn as an evaluation draws them; no target is a repeat.

    Args:
        log: what was touched.
        queries: Q of them, M targets.
        n_max: about the most queries.
        wanted: (N,) items that may be targets; None = all.
    """
    drawn = draw_users(queries, n_max, np.random.default_rng(log.settings.evaluation.seed))
    keep = ~log.touches.is_repeat(drawn)
    return drawn.asking(keep if wanted is None else keep & wanted[drawn.target])


def dataset(name: str, settings: Settings) -> Log:
    """A public log from the cache folder, fetched at the first call."""
    files = fetch(name)
    events = pq.read_table(files.events)
    catalog = catalog_from_items(pq.read_table(files.items), events["item_id"].unique().to_pylist())
    text = encoded(catalog, settings)
    return Log(name, event_arrays(events, catalog.index), catalog, text, settings)


def of_world(name: str, world: World, settings: Settings, with_text: bool = True) -> Log:
    """A synthetic log; texts are read by hashing words, so that no language model is needed.

    Args:
        name: of the log.
        world: the log.
        settings: how it is read.
        with_text: False takes away all that is said of the items, and keeps when they were born.
    """
    items = world.items
    if not with_text:
        said = [n for n in ("title", "text", "categories") if n in items.column_names]
        items = items.drop_columns(said)
    catalog = catalog_from_items(items)
    events = event_arrays(world.events, catalog.index)
    text = HashEncoder(HASH_DIMS).encode(catalog.item_texts()) if with_text else None
    return Log(name, events, catalog, text, settings)


def encoded(catalog: Catalog, settings: Settings) -> Floats:
    """(N, E) text vectors by the language model of the settings; zero rows where nothing is said.

    Half precision on disk, and read as such also by the run that writes it.
    """
    rows = np.flatnonzero(catalog.has_text)
    texts = [catalog.item_text(int(row)) for row in rows]
    path = cache_folder() / "benchmarks" / f"text-{_fingerprint(texts, settings)}.npy"
    if not path.exists():
        encoder = TextEncoder(model_folder(settings.encoder.model), settings.encoder)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        distinct, place = np.unique(texts, return_inverse=True)  # shops repeat themselves
        np.save(part, encoder.encode(distinct.tolist())[place].astype(np.float16))
        part.replace(path)
    found = np.load(path).astype(np.float32)
    vectors = np.zeros((len(catalog), found.shape[1]), np.float32)
    vectors[rows] = found
    return vectors


def _fingerprint(texts: Sequence[str], settings: Settings) -> str:
    form = settings.encoder
    digest = hashlib.sha256(f"{form.model}|{form.pooling}|{form.max_tokens}".encode())
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:24]
