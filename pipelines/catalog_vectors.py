"""The current catalog in the space of a bundle."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.encode import text_vectors
from pipelines.job import Job
from pipelines.spoken import source_of
from recsys.bundle import Bundle
from recsys.catalog import Catalog, aligned_rows, catalog_from_items
from recsys.interest.model import ItemTable


def vectors_for(
    job: Job, bundle: Bundle, items: pa.Table, extra_item_ids: Iterable[str] = ()
) -> tuple[Catalog, ItemTable]:
    """The current catalog in the space of a bundle: what the bundle lacks is encoded now.

    Args:
        job: store and settings.
        bundle: whose encoder and projection are used.
        items: the current items, schema ``recsys.schema.ITEMS``.
        extra_item_ids: items that occur in events; those without a row join without text.

    Returns:
        The catalog, and its N items: zero rows where an item has no text. In a learned bundle an
        item that is new to it is cold and what its text says; a warm one stays as it was learned.
    """
    catalog = catalog_from_items(items, [*bundle.catalog.item_ids, *extra_item_ids])
    texts = catalog.item_texts()
    rows = _kept_rows(bundle, catalog, texts)
    vectors = np.zeros((len(catalog), bundle.n_dims), dtype=np.float32)
    vectors[rows >= 0] = bundle.vectors[rows[rows >= 0]]
    warm = np.full(len(catalog), not bundle.is_learned)
    warm[rows >= 0] = bundle.items.warm[rows[rows >= 0]]
    lacking = np.array([i for i, text in enumerate(texts) if text and rows[i] < 0], np.int64)
    source = source_of(job, bundle)
    if len(lacking) > 0 and source is not None:
        found = text_vectors([texts[i] for i in lacking], source)
        vectors[lacking] = found.projected(bundle.projection.project, bundle.n_dims)
    return catalog, ItemTable(vectors, warm)


def _kept_rows(bundle: Bundle, catalog: Catalog, texts: list[str]) -> npt.NDArray[np.int64]:
    """(N,) the row of the bundle whose vector an item keeps; -1 = its text is to be read."""
    old = bundle.catalog.item_texts()
    row_of_text = {text: row for row, text in enumerate(old) if text}
    rows = aligned_rows(catalog.item_ids, bundle.catalog.index)
    for i, text in enumerate(texts):
        if rows[i] >= 0 and (old[rows[i]] == text or _is_learned_warm(bundle, int(rows[i]))):
            continue
        same = row_of_text.get(text, -1)
        rows[i] = same if same < 0 or not _is_learned_warm(bundle, same) else -1
    return rows


def _is_learned_warm(bundle: Bundle, row: int) -> bool:
    """Whether an item's vector says more than its text does."""
    return bundle.is_learned and bool(bundle.items.warm[row])
