"""A bundle with the items of now: changed ones in their rows, new ones after all others.

The rows of the bundle stay where they are, for profiles and trend are kept in them. What a bundle
has learned of an item stays: a text that changes moves a learned vector by what the projection
makes of the difference. Profiles were folded with the bundle's vectors, and stay so until the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.bundle import Bundle
from recsys.catalog import Catalog, catalog_from_items
from recsys.encoder.projection import AffineProjection
from recsys.graph.interest_graph import InterestGraph
from recsys.interest.beside import AlignedNeighbours
from recsys.interest.model import ItemTable
from recsys.live_retriever import AmendedRetriever

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

TextVectors = Mapping[str, Floats]
"""Text -> (E,) what the encoder makes of it."""


@dataclass(frozen=True)
class Amendment:
    """What sets the items of now apart from a bundle's."""

    catalog: Catalog
    """The N items of the bundle, then M new ones by id."""
    n_old: int
    """N."""
    retold: Ints
    """Rows below N whose text is another now."""
    is_other: bool
    """Whether anything is other than in the bundle."""

    def texts(self, old: Catalog) -> list[str]:
        """The texts that vectors are needed of, each once; those of the bundle's own rows too."""
        wanted = [self.catalog.item_text(row) for row in self._told()]
        wanted += [old.item_text(int(row)) for row in self.retold]
        return sorted({text for text in wanted if text})

    def _told(self) -> list[int]:
        return [*self.retold.tolist(), *range(self.n_old, len(self.catalog))]


def amendment(old: Catalog, items: pa.Table) -> Amendment:
    """Compare the items of a bundle with those of now.

    Items that the table lacks stay as they are: a bundle also has those that events name.

    Args:
        old: of the bundle.
        items: of now, schema ``recsys.schema.ITEMS``.
    """
    now = catalog_from_items(items)
    place = [old.index.get(item_id, -1) for item_id in now.item_ids]
    changed = [i for i, row in enumerate(place) if row >= 0 and not _same(old, row, now, i)]
    fresh = [i for i, row in enumerate(place) if row < 0]
    retold = [place[i] for i in changed if old.item_text(place[i]) != now.item_text(i)]
    pairs = [(place[i], i) for i in changed]
    return Amendment(
        catalog=_merged(old, now, pairs, fresh),
        n_old=len(old),
        retold=np.array(sorted(retold), np.int64),
        is_other=len(pairs) + len(fresh) > 0,
    )


def amended(bundle: Bundle, change: Amendment, vectors: TextVectors) -> Bundle:
    """The bundle with the items of now.

    Args:
        bundle: as it was published.
        change: what is other now.
        vectors: of ``change.texts``; an item whose text is missing here keeps the vector that it
            has, or has none.
    """
    n_new = len(change.catalog) - change.n_old
    fresh = np.arange(change.n_old, len(change.catalog))
    told = np.concatenate([change.retold, fresh])
    found = np.concatenate([bundle.vectors, np.zeros((n_new, bundle.n_dims), np.float32)])
    for row in told.tolist():
        found[row] = _vector(bundle, change, row, vectors, found[row])
    warm = np.concatenate([bundle.items.warm, np.full(n_new, not bundle.is_learned)])
    rows = np.concatenate([np.arange(change.n_old), np.full(n_new, -1)]).astype(np.int64)
    near, items = bundle.neighbours, ItemTable(found, warm)
    return replace(
        bundle,
        catalog=change.catalog,
        items=items,
        index=AmendedRetriever(bundle.index, told, found[told]),
        neighbours=None if near is None else AlignedNeighbours(near, rows),
        graph=None if bundle.graph is None else _placed(bundle.graph, items, rows, told),
        segments=None if bundle.segments is None else bundle.segments.aligned(rows),
        ranker=None if bundle.ranker is None else bundle.ranker.aligned(rows),
    )


def _vector(
    bundle: Bundle, change: Amendment, row: int, vectors: TextVectors, present: Floats
) -> Floats:
    text = change.catalog.item_text(row)
    if text not in vectors:
        return present if text else np.zeros_like(present)
    said: Floats = bundle.projection.project(vectors[text][None])[0]
    if row >= change.n_old or not isinstance(bundle.projection, AffineProjection):
        return said
    before = bundle.catalog.item_text(row)
    if before and before not in vectors:
        return present
    was = bundle.projection.project(vectors[before][None])[0] if before else np.zeros_like(said)
    moved: Floats = present + said - was
    return moved


def _placed(graph: InterestGraph, items: ItemTable, rows: Ints, told: Ints) -> InterestGraph:
    """The graph with each item whose text is new in the node whose centre is nearest."""
    graph = graph.aligned(rows)
    if len(graph) == 0 or len(told) == 0:
        return graph
    directions = items.directions[told]
    node = graph.node.copy()
    nearest = np.argmax(directions @ graph.centres.T, axis=1)
    node[told] = np.where(directions.any(axis=1), nearest, -1)
    return replace(graph, node=node)


def _same(old: Catalog, row: int, now: Catalog, i: int) -> bool:
    return (
        old.titles[row] == now.titles[i]
        and old.texts[row] == now.texts[i]
        and old.categories[row] == now.categories[i]
        and old.available_from[row] == now.available_from[i]
        and old.available_until[row] == now.available_until[i]
        and _attributes(old, row) == _attributes(now, i)
    )


def _merged(old: Catalog, now: Catalog, pairs: list[tuple[int, int]], fresh: list[int]) -> Catalog:
    def column(name: str) -> list[object]:
        values, new = list(getattr(old, name)), getattr(now, name)
        for row, i in pairs:
            values[row] = new[i]
        return [*values, *(new[i] for i in fresh)]

    has_attributes = len(old.attributes) + len(now.attributes) > 0
    attributes = [_attributes(old, row) for row in range(len(old))] if has_attributes else []
    if has_attributes:
        for row, i in pairs:
            attributes[row] = _attributes(now, i)
        attributes += [_attributes(now, i) for i in fresh]
    return Catalog(
        item_ids=[*old.item_ids, *(now.item_ids[i] for i in fresh)],
        titles=column("titles"),  # type: ignore[arg-type]
        texts=column("texts"),  # type: ignore[arg-type]
        categories=column("categories"),  # type: ignore[arg-type]
        available_from=np.array(column("available_from"), np.float64),
        available_until=np.array(column("available_until"), np.float64),
        attributes=attributes,
    )


def _attributes(catalog: Catalog, row: int) -> dict[str, str]:
    return catalog.attributes[row] if len(catalog.attributes) > 0 else {}
