"""The interest graph as two files of a bundle: tensors, and JSON with the names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.errors import DataError
from recsys.graph.interest_graph import InterestGraph
from recsys.graph.labels import NodeLabel
from recsys.graph.options import GraphSettings

ARRAYS, NAMES = "graph.safetensors", "graph.json"
_TENSORS = ("centres", "node", "passages", "mass")


def graph_files(graph: InterestGraph | None) -> dict[str, bytes]:
    """File name -> content; nothing where there is no graph."""
    if graph is None:
        return {}
    tensors = {name: np.ascontiguousarray(getattr(graph, name)) for name in _TENSORS}
    names = {
        "as_of": graph.as_of,
        "options": graph.options.model_dump(mode="json"),
        "labels": [one._asdict() for one in graph.labels],
    }
    written = json.dumps(names, sort_keys=True, ensure_ascii=False).encode()
    return {ARRAYS: bytes(save(tensors)), NAMES: written}


def graph_of(files: Mapping[str, bytes]) -> InterestGraph | None:
    """The graph of a bundle; None where it has none.

    Raises:
        DataError: if its files are none.
    """
    if ARRAYS not in files or NAMES not in files:
        return None
    try:
        tensors, names = load(files[ARRAYS]), json.loads(files[NAMES])
        labels = [
            NodeLabel(one["label"], tuple(one["words"]), tuple(one["shares"]))
            for one in names["labels"]
        ]
        return InterestGraph(
            centres=tensors["centres"],
            node=tensors["node"],
            labels=tuple(labels),
            passages=tensors["passages"],
            mass=tensors["mass"],
            as_of=float(names["as_of"]),
            options=GraphSettings.model_validate(names["options"]),
        )
    except (SafetensorError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise DataError("interest graph", f"cannot be read ({error!r})", "Publish again") from error
