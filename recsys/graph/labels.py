"""Names of nodes, by class-based TF-IDF (Grootendorst 2022), for people.

    W_xa     = tf_xa * log(1 + A / f_x)                 tf in the texts of node a, f in all, A words
                                                        of a node in the mean
    score_xa = W_xa * max(share_xa - share_x, 0)        shares of items that have the word

The second factor wants words that most items of a node have and others lack; a word that most
items of the catalog have is no name, in whatever language. Categories count as words, and years.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.graph.words import WORD, item_words

N_READ = 400
"""Most items of a node that are read, evenly spread over the catalog."""
MOST_WORDS, MOST_TOLD_APART = 3, 5
"""Words of a label, and of one that would otherwise be another's."""
LEAST_SHARE = 0.5
"""A second or third word is taken where at least this share of the items has it."""
_COMMON = 0.6
"""Words that a larger share of the catalog has are names of nothing."""
_N_CANDIDATES = 40


class NodeLabel(NamedTuple):
    """What a node is called."""

    label: str
    """Different from those of all other nodes."""
    words: tuple[str, ...]
    """What it is made of; empty = its items say nothing."""
    shares: tuple[float, ...]
    """Of the node's items, the share that has each word."""


class Reader:
    """Names nodes of one catalog; what it has read once it knows.

    Args:
        catalog: N items.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._words: dict[int, Counter[str]] = {}
        self._names = {name.lower(): name for names in catalog.categories for name in names}

    def labels(self, node: npt.NDArray[np.int64], n_nodes: int) -> list[NodeLabel]:
        """Name nodes.

        Args:
            node: (N,) of each item; negative = none.
            n_nodes: A.
        """
        read = [_spread(np.flatnonzero(node == a)) for a in range(n_nodes)]
        sizes = np.bincount(node[node >= 0], minlength=n_nodes)
        counted = [_counts([self._read(int(row)) for row in rows]) for rows in read]
        return _distinct(_ranked(counted, sizes), self._names, sizes)

    def _read(self, row: int) -> Counter[str]:
        if row not in self._words:
            self._words[row] = item_words(self._catalog, row)
        return self._words[row]


def hit_shares(
    catalog: Catalog, node: npt.NDArray[np.int64], names: Sequence[NodeLabel]
) -> npt.NDArray[np.float64]:
    """(A,) mean over the words of each label of the share of all the node's items that has it."""
    found = np.zeros(len(names))
    for a, name in enumerate(names):
        said = [item_words(catalog, int(row)) for row in np.flatnonzero(node == a)]
        hits = [np.mean([word.lower() in words for words in said]) for word in name.words]
        found[a] = float(np.mean(hits)) if hits else 0.0
    return found


class _Counted(NamedTuple):
    n_items: int
    times: Counter[str]
    items: Counter[str]


def _counts(said: Sequence[Counter[str]]) -> _Counted:
    times: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for words in said:
        times.update(words)
        items.update(words.keys())
    return _Counted(len(said), times, items)


def _ranked(
    counted: Sequence[_Counted], sizes: npt.NDArray[np.int64]
) -> list[list[tuple[str, float]]]:
    """Words of each node with their shares, best first."""
    everywhere: Counter[str] = Counter()
    share: dict[str, float] = {}
    for one, size in zip(counted, sizes.tolist(), strict=True):
        everywhere.update(one.times)
        for word, n in one.items.items():
            share[word] = share.get(word, 0.0) + n / one.n_items * size
    n_all = max(int(sizes.sum()), 1)
    mean_words = everywhere.total() / max(len(counted), 1)
    is_alone = len(counted) == 1
    found = []
    for one in counted:
        scores = {}
        for word, n in one.items.items():
            own, common = n / one.n_items, share[word] / n_all
            if common > _COMMON and not is_alone:
                continue
            excess = own if is_alone else own - common
            weight = one.times[word] / one.times.total() * np.log1p(mean_words / everywhere[word])
            scores[word] = weight * max(excess, 0.0)
        best = sorted(scores, key=lambda word: (-scores[word], word))[:_N_CANDIDATES]
        found.append([(word, one.items[word] / one.n_items) for word in best if scores[word] > 0])
    return found


def _distinct(
    ranked: Sequence[Sequence[tuple[str, float]]],
    names: dict[str, str],
    sizes: npt.NDArray[np.int64],
) -> list[NodeLabel]:
    """A label of each node: the largest node has the first choice."""
    found: dict[int, NodeLabel] = {}
    taken: set[str] = set()
    for a in np.argsort(-sizes, kind="stable").tolist():
        words = _choice(ranked[a], taken)
        label = " · ".join(names.get(word, word) for word, _ in words) or "unnamed"
        number = 1
        while _key(label, words) in taken:
            number += 1
            label = f"{label.split(' #')[0]} #{number}"
        taken.add(_key(label, words))
        shown = tuple(names.get(word, word) for word, _ in words)
        found[a] = NodeLabel(label, shown, tuple(share for _, share in words))
    return [found[a] for a in range(len(ranked))]


def _choice(ranked: Sequence[tuple[str, float]], taken: set[str]) -> list[tuple[str, float]]:
    """The best words; where another node has them, some more of them or another last one."""
    words: list[tuple[str, float]] = []
    for one in ranked:
        if one[1] >= LEAST_SHARE and len(words) < MOST_WORDS and not _repeats(one[0], words):
            words.append(one)
    words = words or list(ranked[:1])
    if _set_key(words) not in taken:
        return words
    rest = sorted((one for one in ranked if not _repeats(one[0], words)), key=lambda one: -one[1])
    for more in range(1, MOST_TOLD_APART - len(words) + 1):
        for first in range(max(0, len(rest) - more + 1)):
            longer = [*words, *rest[first : first + more]]
            if _set_key(longer) not in taken:
                return longer
    return words


def _repeats(word: str, chosen: Sequence[tuple[str, float]]) -> bool:
    """Whether a word is a part of one that was chosen, or the other way round."""
    own = set(WORD.findall(word))
    others = [set(WORD.findall(other)) for other, _ in chosen]
    return any(own <= other or other <= own for other in others)


def _set_key(words: Sequence[tuple[str, float]]) -> str:
    return "\0".join(sorted(word for word, _ in words))


def _key(label: str, words: Sequence[tuple[str, float]]) -> str:
    return f"{_set_key(words)}#{label.split(' #')[1]}" if " #" in label else _set_key(words)


def _spread(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(rows) <= N_READ:
        return rows
    return rows[np.linspace(0, len(rows) - 1, N_READ).astype(np.int64)]
