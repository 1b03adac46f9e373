"""What training knows of the whole log: read in one pass, merged, then shared by all workers.

Its size depends on the catalog and on the log's span, not on the number of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.errors import DataError
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.interest.zero_shot import is_positive
from recsys.settings import Settings
from recsys.training.trend_table import CellCounts, TrendTable, cell_s, count_cells, merge_counts
from recsys.transitions import Transitions

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

_BINS_PER_OCTAVE = 8
_OCTAVES = (-4, 32)  # gaps from a sixteenth of a second to 136 years
_LOW_QUANTILE, _HIGH_QUANTILE = 0.02, 0.98
_SHORTEST_S = 30.0


class Texts(NamedTuple):
    """What the language model made of everything that speaks."""

    items: Floats | None
    """(N, E) vectors of the item texts, zero rows = no text; None = no item has any."""
    events: Floats | None = None
    """(M, E) vectors of the distinct texts of events; None = none is read."""


AnyTexts = Texts | Floats | None
"""Texts; items alone may be given as their vectors."""


@dataclass(frozen=True)
class Surroundings:
    """The log as a whole; read-only."""

    text: Floats | None
    """(N, E) vectors of the item texts, zero rows = no text; None = no item has any."""
    has_text: npt.NDArray[np.bool_]
    """(N,) items that say something."""
    available_from: Times
    """(N,) Unix seconds."""
    available_until: Times
    """(N,) Unix seconds."""
    born: Times
    """(N,) time of the first event, or of becoming available where that is known; inf = never."""
    warm: npt.NDArray[np.bool_]
    """(N,) items with events, which get a residual of their own."""
    counts: Floats
    """(N,) positive events."""
    trend: TrendTable
    half_lives_s: tuple[float, ...]
    """(H,) where the half-lives of positive evidence begin."""
    negative_half_lives_s: tuple[float, ...]
    """(Hn,) where those of negative evidence begin."""
    value_mean: float
    value_scale: float
    first_ts: float
    """Time of the first event."""
    last_ts: float
    """Time of the last event."""
    n_events: int
    n_positives: int
    transitions: Transitions | None = None
    """Learned from everybody; None = not used."""
    transitions_apart: Floats | None = None
    """(folds + 1, n, n) weights learned without the users of a fold; the last ones from all."""
    words: Floats | None = None
    """(M, E) vectors of the distinct texts of events; None = none is read."""

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.born)


class Gathering:
    """Sums over partitions of a log from which ``Surroundings`` are made.

    Args:
        n_items: N.
        settings: interest, trend and model.
    """

    def __init__(self, n_items: int, settings: Settings) -> None:
        self._settings = settings
        self._width_s = cell_s(settings.trend.half_lives_s)
        self._first = np.full(n_items, np.inf)
        self._touched = np.zeros(n_items, bool)
        self._counts = np.zeros(n_items, np.float32)
        self._cells: list[CellCounts] = []
        self._gaps = np.zeros((_OCTAVES[1] - _OCTAVES[0]) * _BINS_PER_OCTAVE, np.int64)
        self._values = np.zeros(3)
        self._span = (np.inf, -np.inf)
        self._n_events = 0

    def add(self, events: EventArrays) -> None:
        """Count the events of some users."""
        if len(events) == 0:
            return
        known = np.flatnonzero(events.item != UNKNOWN_ITEM)
        item, ts = events.item[known], events.ts[known]
        np.minimum.at(self._first, item, ts)
        self._touched[item] = True
        positive = is_positive(events.kind[known], events.value[known], self._settings.interest)
        np.add.at(self._counts, item[positive], 1.0)
        ones = np.ones(int(positive.sum()), np.float32)
        self._add_cells([count_cells(item[positive], ts[positive], ones, self._width_s)])
        value = events.value[np.isfinite(events.value)]
        self._values += [len(value), value.sum(), np.square(value).sum()]
        self._span = (min(self._span[0], events.ts.min()), max(self._span[1], events.ts.max()))
        self._n_events += len(events)
        gaps = np.diff(events.ts)[events.user[1:] == events.user[:-1]]
        self._gaps += np.bincount(_bin(gaps[gaps > 0]), minlength=len(self._gaps))

    def merge(self, other: Gathering) -> None:
        """Add what another one counted."""
        self._first = np.minimum(self._first, other._first)
        self._touched |= other._touched
        self._counts += other._counts
        self._add_cells(other._cells)
        self._values += other._values
        self._gaps += other._gaps
        self._span = (min(self._span[0], other._span[0]), max(self._span[1], other._span[1]))
        self._n_events += other._n_events

    def finish(self, texts: AnyTexts, catalog: Catalog) -> Surroundings:
        """Everything counted, beside the catalog.

        Args:
            texts: vectors of the texts.
            catalog: the N items.

        Raises:
            DataError: if no event is positive.
        """
        text, words = texts if isinstance(texts, Texts) else Texts(texts)
        n_positives = int(self._counts.sum())
        if n_positives == 0:
            kinds = ", ".join(self._settings.interest.positive_kinds)
            raise DataError(
                "training",
                f"found no positive event among {self._n_events}",
                f"Positive kinds are {kinds}: see interest.positive_kinds and rating_positive_min",
            )
        n, total, squares = self._values
        mean = total / max(n, 1.0)
        scale = float(np.sqrt(max(squares / max(n, 1.0) - mean * mean, 0.0)))
        born = np.where(np.isfinite(catalog.available_from), catalog.available_from, self._first)
        lives, negative = self._half_lives()
        return Surroundings(
            text=text,
            has_text=catalog.has_text if text is None else np.any(text != 0.0, axis=1),
            available_from=catalog.available_from,
            available_until=catalog.available_until,
            born=np.minimum(born, self._first),
            warm=self._touched,
            counts=self._counts,
            trend=TrendTable(self._cells[0], len(born), self._settings.trend.half_lives_s),
            half_lives_s=lives,
            negative_half_lives_s=negative,
            value_mean=float(mean),
            value_scale=scale if scale > 0.0 else 1.0,
            first_ts=float(self._span[0]),
            last_ts=float(self._span[1]),
            n_events=self._n_events,
            n_positives=n_positives,
            words=None if words is None or len(words) == 0 else words,
        )

    def _add_cells(self, more: list[CellCounts]) -> None:
        self._cells = [merge_counts([*self._cells, *more])] if self._cells else list(more)

    def _half_lives(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Evenly spread over the log's own gaps, and beyond the longest ones."""
        low, high = (_quantile(self._gaps, q) for q in (_LOW_QUANTILE, _HIGH_QUANTILE))
        low = max(low, _SHORTEST_S)
        high = max(4.0 * high, 10.0 * low)
        form = self._settings.model
        return _spread(low, high, form.n_half_lives), _spread(
            np.sqrt(low * high), high, form.n_negative_half_lives
        )


def _bin(gaps: Times) -> npt.NDArray[np.int64]:
    octave = np.clip(np.log2(gaps), _OCTAVES[0], _OCTAVES[1] - 1e-9) - _OCTAVES[0]
    found: npt.NDArray[np.int64] = (octave * _BINS_PER_OCTAVE).astype(np.int64)
    return found


def _quantile(gaps: npt.NDArray[np.int64], share: float) -> float:
    """Seconds below which a share of the gaps lies; a day where there are none."""
    if gaps.sum() == 0:
        return 86_400.0
    place = int(np.searchsorted(np.cumsum(gaps), share * gaps.sum()))
    return float(2.0 ** (_OCTAVES[0] + (place + 0.5) / _BINS_PER_OCTAVE))


def _spread(low: float, high: float, n: int) -> tuple[float, ...]:
    values: Sequence[Any] = np.geomspace(low, high, n).tolist() if n > 1 else [np.sqrt(low * high)]
    return tuple(float(value) for value in values)
