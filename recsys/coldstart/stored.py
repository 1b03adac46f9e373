"""Segments as two files of a bundle: tensors, and JSON with the names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.coldstart.segments import Segments
from recsys.errors import DataError

COUNTS, NAMES = "segments.safetensors", "segments.json"
_TENSORS = ("offsets", "item", "count", "everybody")


def segment_files(segments: Segments | None) -> dict[str, bytes]:
    """File name -> content; nothing where there are no segments."""
    if segments is None or len(segments.names) == 0:
        return {}
    tensors = {name: np.ascontiguousarray(getattr(segments, name)) for name in _TENSORS}
    names = json.dumps(list(segments.names), ensure_ascii=False).encode()
    return {COUNTS: bytes(save(tensors)), NAMES: names}


def segments_of(files: Mapping[str, bytes]) -> Segments | None:
    """The segments of a bundle; None where it has none.

    Raises:
        DataError: if its files are none.
    """
    if COUNTS not in files or NAMES not in files:
        return None
    try:
        tensors = load(files[COUNTS])
        return Segments(tuple(json.loads(files[NAMES])), *(tensors[name] for name in _TENSORS))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError("segments", f"cannot be read ({error!r})", "Publish again") from error
