"""Whether the names of interests are true: how many of their items have the words of the name.

``label_hit_share``   median over interests of the mean share of items that have each word
``n_interests``       how many there are
``n_labels``          how many different names they have
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.encoder.projection import fit_projection
from recsys.graph.interest_graph import InterestGraph, unconnected
from recsys.graph.labels import hit_shares
from recsys.interest.model import ItemTable
from recsys.settings import Settings
from tests.benchmarks.quality_parts.material import Log, dataset


def run(name: str, settings: Settings | None = None) -> dict[str, Any]:
    """Measure the zero-shot interests of a public log."""
    log = dataset(name, settings or Settings())
    graph = graph_of(log)
    shares = hit_shares(log.catalog, graph.node, graph.labels)
    return {
        "label_hit_share": round(float(np.median(shares)), 4),
        "n_interests": len(graph),
        "n_labels": len({one.label for one in graph.labels}),
        "label_hit_share_least": round(float(shares.min()), 4),
    }


def graph_of(log: Log) -> InterestGraph:
    """The graph that ``pipelines.embed`` makes of all events of a log.

    Raises:
        ValueError: if no item says anything.
    """
    if log.text is None:
        raise ValueError(f"no item of {log.name} says anything")
    said = np.flatnonzero(log.text.any(axis=1))
    projection = fit_projection(np.unique(log.text[said], axis=0), log.settings.encoder.n_dims)
    vectors = np.zeros((len(log.catalog), projection.n_dims), np.float32)
    vectors[said] = projection.project(log.text[said])
    items, options = ItemTable.all_warm(vectors), log.settings.graph
    begun = unconnected(log.catalog, items, options, float(log.events.ts.max()))
    return begun.connected([begun.count(log.events, log.settings.interest)])
