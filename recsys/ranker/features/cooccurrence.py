"""What the neighbours of the recent events add to an item: who chose those chose this.

Neighbours of the model's own where it has some, else those in the encoder's score, once more.
"""

from __future__ import annotations

import numpy as np

from recsys.interest.beside import parts_of
from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = True


def read(viewed: Viewed) -> Doubles:
    """(V, n); 0 where there are no neighbours."""
    shelf = viewed.shelf
    own = None if shelf.ranker is None else shelf.ranker.neighbours
    if own is None and "neighbours" in viewed.encoder:
        return viewed.encoder["neighbours"].astype(np.float64)
    near = shelf.neighbours if own is None else own
    if near is None:
        return np.zeros((len(viewed.held), len(viewed.rows)))
    events = (viewed.events.item, viewed.events.ts, viewed.events.importance)
    found = parts_of(near, events, viewed.held, viewed.moments, viewed.rows)
    return found.astype(np.float64)
