"""The fold of a table: the compiled one of its form of storage, with what that needs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.decay.fold import Place, fold_half_records, fold_records
from recsys.interest.storage import Storage

_N_CHANCES = 1 << 16


class Folder:
    """Folds evidence into records.

    Args:
        place: where a state stands in a record.
        half_lives_s: (H,) seconds.
        storage: the form, and the seed of the chances by which means are rounded.
    """

    def __init__(
        self, place: Place, half_lives_s: npt.NDArray[np.float64], storage: Storage
    ) -> None:
        self._place = place
        self._rates = math.log(2.0) / half_lives_s
        self._is_half = storage.is_half
        self._n_rounded = storage.seed
        self._dither = np.zeros(0, np.uint16)
        if storage.is_half:
            rng = np.random.default_rng(storage.seed)
            n = place.n_half_lives * place.n_dims + _N_CHANCES
            self._dither = rng.integers(0, 1 << 13, n).astype(np.uint16)

    def fold(self, records: npt.NDArray[np.int64], evidence: Any) -> None:
        """Fold T events: addresses of their records; and ts, importance, index and values."""
        if not self._is_half:
            fold_records(records, self._place, evidence, self._rates)
            return
        chances = (self._dither, self._n_rounded)
        fold_half_records(records, self._place, evidence, self._rates, *chances)
        self._n_rounded += len(records)
