"""Statements are understood: which categories and items each clause is about.

A clause means the categories that it spells; else those whose names are nearest to it, as the
language model reads both. Beside that it is a direction among the items, wished or not:

    part_i = label * share of the wished clauses with a category that item i is of
           + likeness * mean over wished clauses of cos(clause, i)
           - against * max over unwished clauses of max(0, cos(clause, i))

An item of a category that is not wished, or that is very near to such a clause, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.coldstart.options import StatementSettings
from recsys.coldstart.statement import Clause, clauses
from recsys.coldstart.topics import Topics, rows_of
from recsys.encoder.projection import AnyProjection, unit_rows

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]

_AS_NEAR = 0.03
"""Of several categories those are meant that are at most so much further than the nearest."""


@dataclass(frozen=True)
class Spoken:
    """What was said, before a language model has read it."""

    clauses: tuple[Clause, ...]
    labels: tuple[int | None, ...]
    """Of each clause the topic of exactly its name."""
    unknown: tuple[str, ...]
    """Of what was given as labels, what is no topic's name."""

    @property
    def texts(self) -> list[str]:
        """What the language model has to read, a text for each clause."""
        return [clause.text for clause in self.clauses]


def parse(said: str | Sequence[str], topics: Topics, limit: int) -> Spoken:
    """Cut a statement into clauses, or take labels for them.

    Args:
        said: free text; or a list of labels, each of which may be negated ("no horror"), and is
            read as free text where there is no such label.
        topics: the names that there are.
        limit: most clauses.
    """
    found: dict[str, tuple[Clause, int | None]] = {}
    unknown = []
    for text in [said] if isinstance(said, str) else said:
        place = topics.named(text)
        parts = clauses(text, limit) if place is None else (Clause(topics.names[place], True),)
        known = [topics.named(part.text) for part in parts]
        if not isinstance(said, str) and (len(parts) == 0 or None in known):
            unknown.append(text)
        for part, c in zip(parts, known, strict=True):
            earlier = found.get(part.text)
            if earlier is None or earlier[0].is_wished:
                found[part.text] = (part, c)
    kept = list(found.values())[:limit]
    return Spoken(tuple(part for part, _ in kept), tuple(c for _, c in kept), tuple(unknown))


@dataclass(frozen=True)
class Heard:
    """A clause as it is understood."""

    text: str
    is_wished: bool
    topics: tuple[str, ...]
    """The names of what it is about; of an unwished clause these are left out."""
    rows: Rows
    """Items of these topics."""


@dataclass(frozen=True)
class Statement:
    """What a user says, as it is understood."""

    heard: tuple[Heard, ...]
    directions: Floats
    """(n, D) of each clause among the items, of length 1; zero rows = it was not read."""
    unknown: tuple[str, ...] = ()
    """As of ``Spoken``."""

    @property
    def is_read(self) -> bool:
        """Whether a language model has read it."""
        return bool(self.directions.any())

    @property
    def wished(self) -> Bools:
        """(n,)."""
        return np.array([clause.is_wished for clause in self.heard], np.bool_)

    def of(self, is_wished: bool) -> list[Heard]:
        """The clauses that are wished, or those that are not."""
        return [clause for clause in self.heard if clause.is_wished == is_wished]


@dataclass(frozen=True)
class Reader:
    """Understands what is spoken.

    Args:
        topics: the names that there are.
        names: (C, E) these names as the encoder reads them; None = it does not.
        projection: of texts to items; None = there is none.
        options: from which likeness on a category is meant.
    """

    topics: Topics
    names: Floats | None
    projection: AnyProjection | None
    options: StatementSettings

    def understand(self, spoken: Spoken, vectors: Floats | None, n_dims: int) -> Statement:
        """What clauses are about.

        Args:
            spoken: n clauses.
            vectors: (n, E) these as the encoder reads them; None = it does not.
            n_dims: D of the items.
        """
        directions = np.zeros((len(spoken.clauses), n_dims), np.float32)
        near: Floats | None = None
        if vectors is not None and len(vectors) > 0:
            if self.projection is not None:
                directions = unit_rows(self.projection.project(vectors))
            if self.names is not None and len(self.names) > 0:
                near = unit_rows(vectors) @ unit_rows(self.names).T
        heard = []
        for place, clause in enumerate(spoken.clauses):
            about = self._about(clause, spoken.labels[place], None if near is None else near[place])
            names = tuple(self.topics.names[c] for c in about)
            heard.append(Heard(*clause, names, rows_of(self.topics, about)))
        return Statement(tuple(heard), directions, spoken.unknown)

    def _about(self, clause: Clause, label: int | None, near: Floats | None) -> list[int]:
        """The topics that a clause means."""
        if label is not None:
            return [label]
        spelled = self.topics.spelled(clause.text)
        if len(spelled) > 0 or near is None:
            return spelled
        options = self.options
        least = options.understood_from if clause.is_wished else options.filtered_from
        return [int(c) for c in np.flatnonzero(near >= max(least, float(near.max()) - _AS_NEAR))]


def statement_part(statement: Statement, directions: Floats, options: StatementSettings) -> Floats:
    """(N,) what is said adds to the score of each item.

    Args:
        statement: n clauses.
        directions: (N, D) of the items, of length 1; zero rows = nothing is known.
        options: the weights.
    """
    part = np.zeros(len(directions), np.float32)
    is_wished = statement.wished
    about = [clause for clause in statement.of(True) if len(clause.topics) > 0]
    for clause in about:
        part[clause.rows] += np.float32(options.label / len(about))
    if is_wished.any():
        middle = statement.directions[is_wished].mean(axis=0)
        part += np.float32(options.likeness) * (directions @ middle)
    if not is_wished.all():
        near = directions @ statement.directions[~is_wished].T
        part -= np.float32(options.against) * np.maximum(near.max(axis=1), np.float32(0))
    return part


def left_out(statement: Statement, directions: Floats, options: StatementSettings) -> Bools:
    """(N,) items that are not wished; arguments as of ``statement_part``."""
    out = np.zeros(len(directions), np.bool_)
    for clause in statement.of(False):
        out[clause.rows] = True
    unwished = ~statement.wished
    if unwished.any():
        near = directions @ statement.directions[unwished].T
        out |= near.max(axis=1) >= options.filtered_likeness
    return out
