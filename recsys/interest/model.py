"""The one interface of an interest model: events become evidence, evidence becomes a query.

    events --evidence--> importance, values --fold--> banks --query--> vectors, weights of trend

Between the two stands the additive decayed state (``recsys.decay.fold``), which no model changes.
The profile table, the pool, the gateway, replays and evaluation know a model by this alone.

    score_i = max_q q.x_i + trend_i + fresh_i + neighbours_i
    trend_i = warm_trend.T_i                 an item that had events when the model was fitted
            = cold_trend.T_i + cold_offset   a later one
            = new_offset                     a later one that nobody has chosen yet: T_i = 0

    fresh_i = sum_j fresh_j 2^(-(t - born_i)/tau_j)

with ``T_i`` = log(1 + decayed popularity) of the item at each half-life ``tau`` of the trend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from recsys.events import NO_TEXT, UNKNOWN_TEXT, EventArrays
from recsys.interest.tiles import tiled
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_UNIT_TOLERANCE = 1e-4


class FoldBatch(NamedTuple):
    """T events to fold, in any order."""

    item: npt.NDArray[np.int32]
    """(T,) position in the catalog; ``UNKNOWN_ITEM`` = not in it."""
    ts: Times
    """(T,) Unix seconds, finite."""
    kind: npt.NDArray[np.object_]
    """(T,) event kinds."""
    value: Times
    """(T,) rating or dwell; NaN where there is none."""
    text: npt.NDArray[np.int32] | None = None
    """(T,) row of the user's own words in a ``TextTable``, ``NO_TEXT``, or ``UNKNOWN_TEXT`` = the
    event waits for them; None = no event says anything."""

    @classmethod
    def of(cls, events: EventArrays, rows: Any) -> FoldBatch:
        """Some events of a log: a slice, or an array of positions."""
        return cls(events.item, events.ts, events.kind, events.value, events.text).pick(rows)

    def pick(self, rows: Any) -> FoldBatch:
        """Some events: a slice, or an array of positions."""
        text = None if self.text is None else self.text[rows]
        return FoldBatch(self.item[rows], self.ts[rows], self.kind[rows], self.value[rows], text)

    def words(self, texts: TextTable | None) -> npt.NDArray[np.int32] | None:
        """(T,) ``text`` as a model reads it; None where it has nothing to read."""
        if texts is None or self.text is None or not np.any(self.text != NO_TEXT):
            return None
        return self.text

    @property
    def waits(self) -> Bools:
        """(T,) events that are no evidence yet, because their words cannot be read yet."""
        if self.text is None:
            return np.zeros(len(self.ts), np.bool_)
        waiting: Bools = self.text == UNKNOWN_TEXT
        return waiting


class EventEvidence(NamedTuple):
    """What T events are to a state; each event's part depends on that event alone."""

    importance: Floats
    """(T, H + Hn) at least 0; negative evidence only in the last Hn columns."""
    index: Ints  # type: ignore[assignment]  # the word of the fold; nobody asks where a part is
    """(T,) row of ``values``; -1 = no evidence."""
    values: Floats
    """(M, D) of norm at most 1; a row of zeros is no evidence."""
    signed: Floats | None = None
    """(T,) ``zero_shot.signed_importance``, where the model has worked it out anyway."""

    @property
    def arrays(self) -> tuple[Floats, Ints, Floats]:
        """``importance``, ``index`` and ``values`` as the compiled fold takes them."""
        return (
            np.ascontiguousarray(self.importance, np.float32),
            np.ascontiguousarray(self.index, np.int64),
            np.ascontiguousarray(self.values, np.float32),
        )


class Banks(NamedTuple):
    """The evidence of B users, each as of its own ``t_ref``."""

    sums: Floats
    """(B, H, D) positive evidence."""
    mass: Floats
    """(B, H)."""
    negative_sums: Floats
    """(B, Hn, D) negative evidence."""
    negative_mass: Floats
    """(B, Hn)."""
    t_ref: Times
    """(B,) Unix seconds of the latest event; ``-inf`` = no event."""

    def pick(self, rows: Any) -> Banks:
        """Some users: a slice, or an array of positions."""
        return Banks(
            self.sums[rows],
            self.mass[rows],
            self.negative_sums[rows],
            self.negative_mass[rows],
            self.t_ref[rows],
        )


class Query(NamedTuple):
    """What B users ask of the items at a moment."""

    vectors: Floats
    """(B, Q, D) query vectors; the interest part of an item is its largest dot product."""
    warm_trend: Floats
    """(B, Ht) weights of the trend of items that had events when the model was fitted."""
    cold_trend: Floats
    """(B, Ht) weights of the trend of all others."""
    cold_offset: Floats
    """(B,) what all others get on top."""
    new_offset: Floats
    """(B,) what those of them get that have no trend yet."""
    fresh: Floats
    """(B, Ht) weights of what is left of an item's birth; (B, 0) = its age does not matter."""

    def pick(self, rows: Any) -> Query:
        """Some users: a slice, or an array of positions."""
        return Query(*(part[rows] for part in self))

    def of(self, row: int) -> Query:
        """One user."""
        return self.pick(slice(row, row + 1))

    @property
    def uses_trend(self) -> Bools:
        """(Ht,) half-lives of the trend that weigh for anybody."""
        used: Bools = (self.warm_trend != 0.0).any(axis=0) | (self.cold_trend != 0.0).any(axis=0)
        return used


@dataclass(frozen=True)
class ItemTable:
    """What scoring needs of N items; never changed."""

    vectors: Floats
    """(N, D); a zero row = nothing is known of the item."""
    warm: Bools
    """(N,) items that had events when the model was fitted."""

    def __post_init__(self) -> None:
        if self.warm.shape != self.vectors.shape[:1]:
            raise ValueError(f"warm is of {self.warm.shape}, vectors of {self.vectors.shape}")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def n_dims(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    @cached_property
    def directions(self) -> Floats:
        """(N, D) the vectors at length 1, for likeness of items; a zero row stays one."""
        norms = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        if np.all((norms == 0.0) | (np.abs(norms - 1.0) < _UNIT_TOLERANCE)):
            return self.vectors
        scaled: Floats = (self.vectors / np.where(norms > 0.0, norms, 1.0)).astype(np.float32)
        return scaled

    @cached_property
    def tiles(self) -> Floats:
        """The vectors once more, in the order in which all of them are scored fastest."""
        return tiled(self.vectors)

    def pick(self, rows: Any) -> ItemTable:
        """Some items: a slice, or an array of rows."""
        return ItemTable(self.vectors[rows], self.warm[rows])

    def with_more(self, others: ItemTable) -> ItemTable:
        """These items, and others after them."""
        vectors = np.concatenate([self.vectors, others.vectors])
        return ItemTable(vectors, np.concatenate([self.warm, others.warm]))

    @classmethod
    def all_warm(cls, vectors: npt.NDArray[np.floating[Any]]) -> ItemTable:
        """Items of a model that makes no difference between them."""
        found = np.ascontiguousarray(vectors, np.float32)
        return cls(found, np.ones(len(found), np.bool_))


@dataclass(frozen=True)
class TextTable:
    """What M distinct texts of users are to a model; never changed."""

    vectors: Floats
    """(M, D) what each adds to the value of an event, in the space of the items."""

    def __len__(self) -> int:
        return len(self.vectors)


class InterestModel(Protocol):
    """What turns events into evidence, and evidence into a query. Pickles; has no state."""

    @property
    def reads_text(self) -> bool:
        """Whether the users' own words are evidence."""
        ...

    def text_table(self, vectors: Floats) -> TextTable:
        """Texts as the model reads them.

        Args:
            vectors: (M, E) as the encoder gives them.

        Raises:
            ValueError: if the model reads none.
        """
        ...

    def evidence(
        self, events: FoldBatch, items: ItemTable, texts: TextTable | None = None
    ) -> EventEvidence:
        """What events are to the states of their users.

        An event that says something nobody can read yet (``FoldBatch.waits``) is no evidence; one
        without item is evidence by its words alone.

        Args:
            events: T events, in any order.
            items: N items.
            texts: what the events' words are; None = words are passed over.
        """
        ...

    def query(self, banks: Banks, as_of: Times | float) -> Query:
        """What users ask for at a moment.

        Args:
            banks: the evidence of B users, at least one; an empty profile has no mass, and its
                ``t_ref`` is ``-inf``.
            as_of: (B,) or one moment, Unix seconds; before ``t_ref`` it counts as ``t_ref``.
        """
        ...


def split_banks(sums: Floats, mass: Floats, t_ref: Times, n_positive: int) -> Banks:
    """States (B, H + Hn, D) and (B, H + Hn) as their positive and negative banks (views)."""
    good, bad = slice(None, n_positive), slice(n_positive, None)
    return Banks(sums[:, good], mass[:, good], sums[:, bad], mass[:, bad], t_ref)


def empty_banks(n_users: int, n_positive: int, n_negative: int, n_dims: int) -> Banks:
    """The evidence of users of whom there is no event."""
    n_lives = n_positive + n_negative
    sums = np.zeros((n_users, n_lives, n_dims), np.float32)
    mass = np.zeros((n_users, n_lives), np.float32)
    return split_banks(sums, mass, np.full(n_users, -np.inf), n_positive)


def nobody(model: InterestModel, interest: InterestSettings, n_dims: int) -> Query:
    """What a model asks for somebody of whom there is no event: a query of one user."""
    n_lives = len(interest.half_lives_s), len(interest.negative_half_lives_s)
    return model.query(empty_banks(1, *n_lives, n_dims), 0.0)
