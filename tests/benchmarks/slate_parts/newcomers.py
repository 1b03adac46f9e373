"""Cold users of a log: their first moment, what they would say, and who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipelines.datasets import fetch
from recsys.evaluation.split import Queries
from tests.benchmarks.quality_parts.material import Log

N_WISHED = 3
SPOKEN: Mapping[str, str] = {
    "Sci-Fi": "science fiction",
    "Children's": "films for children",
    "Film-Noir": "film noir",
    "Musical": "musicals",
    "Western": "westerns",
    "War": "war films",
    "Documentary": "documentaries",
    "Comedy": "comedies",
    "Drama": "dramas",
    "Thriller": "thrillers",
    "Crime": "crime stories",
    "Mystery": "mysteries",
}
"""How people say categories; others as they are, in lower case."""


@dataclass(frozen=True)
class Newcomers:
    """Cold users, by their first moment."""

    queries: Queries
    texts: list[str]
    """What each says."""


def newcomers(log: Log, start: float, end: float = np.inf) -> Newcomers:
    """Users whose first event is in a time, and what they would say.

    Args:
        log: whose catalog has categories.
        start: Unix seconds.
        end: nothing from this moment on is looked at.
    """
    events, names = log.events, sorted({c for some in log.catalog.categories for c in some})
    place = {name: c for c, name in enumerate(names)}
    is_of = np.zeros((len(log.catalog), len(names)))
    for row, some in enumerate(log.catalog.categories):
        is_of[row, [place[name] for name in some]] = 1.0
    known = log.positive & (events.item >= 0)
    usual = is_of[events.item[known & (events.ts < start)]].mean(axis=0)
    found = []
    for user, (first, last) in enumerate(pairwise(events.bounds.tolist())):
        if first == last or not start <= events.ts[first] < end:
            continue
        run = np.arange(first, last)
        run = run[(events.ts[run] < end) & (events.item[run] >= 0)]
        right = np.unique(events.item[run[known[run]]])
        if len(right) > 0:
            touched = is_of[np.unique(events.item[run])]
            text = said_by(is_of[right], touched, usual, names)
            found.append((float(events.ts[first]), user, int(first), right, text))
    found.sort(key=lambda one: one[:2])
    moments, users, ends, targets, texts = zip(*found, strict=True)
    bounds = np.concatenate([[0], np.cumsum([len(rows) for rows in targets])])
    queries = Queries(
        np.array(users), np.array(moments), np.array(ends), bounds, np.concatenate(targets)
    )
    return Newcomers(queries, list(texts))


def said_by(
    chosen: npt.NDArray[np.float64],
    touched: npt.NDArray[np.float64],
    usual: npt.NDArray[np.float64],
    names: Sequence[str],
) -> str:
    """What somebody says.

    Args:
        chosen: (n, C) categories of what they will like.
        touched: (m, C) of all that they will look at.
        usual: (C,) share of each category in what everybody likes.
        names: of the categories.
    """
    excess = chosen.mean(axis=0) - usual
    wished = [int(c) for c in np.argsort(-excess, kind="stable")[:N_WISHED] if excess[c] > 0]
    never = np.flatnonzero(touched.sum(axis=0) == 0)
    words = [SPOKEN.get(names[c], names[c].lower()) for c in wished]
    text = " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), *words[-1:]])
    text = f"I like {text}" if text else "anything"
    if len(never) > 0:
        shunned = names[int(never[np.argmax(usual[never])])]
        text += f", no {SPOKEN.get(shunned, shunned.lower())}"
    return f"{text}."


def attributes_of(name: str) -> dict[str, dict[str, str]]:
    """User -> attributes, of a public log."""
    users = pq.read_table(fetch(name).users)
    known = zip(users["user_id"].to_pylist(), users["attributes"].to_pylist(), strict=True)
    return {user: dict(attributes or ()) for user, attributes in known}
