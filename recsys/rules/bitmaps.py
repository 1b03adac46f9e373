"""Bitmaps of a catalog: parts that read items only, evaluated once for each class of items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.errors import RuleError
from recsys.rules.items import ItemFacts
from recsys.rules.language import Expression
from recsys.rules.mixed import Mixed
from recsys.rules.predicate import AgeTest, Bools, Predicate, Written, age_test
from recsys.rules.reads import Reads

_LOOK_EVERY = 256


@dataclass
class Effort:
    """How long a catalog may be looked at, and who is told how far it is.

    Args:
        clock: seconds, ever rising.
        limit_s: seconds that all bitmaps of a rule set together may take.
        progress: called with the number of evaluations done so far.
    """

    clock: Callable[[], float]
    limit_s: float = 30.0
    progress: Callable[[int], None] = lambda _: None
    n_done: int = 0
    _started: float | None = field(default=None, init=False)

    def one_more(self) -> None:
        """Count an evaluation.

        Raises:
            RuleError: if the time is over.
        """
        if self._started is None:
            self._started = self.clock()
        self.n_done += 1
        if self.n_done % _LOOK_EVERY > 0:
            return
        self.progress(self.n_done)
        if self.clock() - self._started > self.limit_s:
            problem = f"takes longer than {self.limit_s:g} s to evaluate for every item"
            remedy = "Ask for fewer fields: an attribute or a category rather than item_id or title"
            raise RuleError("when", problem, remedy)


def predicate(written: Written, items: ItemFacts, effort: Effort) -> Predicate:
    """An expression for a catalog.

    Raises:
        RuleError: if it takes too long.
    """
    once: list[Expression] = []
    ages: list[AgeTest] = []
    mixed: list[Mixed] = []
    bitmaps: list[Bools] = []
    for part, read in written.parts:
        test = age_test(part.source)
        if test is not None:
            ages.append(test)
        elif read.is_item_only:
            bitmaps.append(_bitmap(part, read, items, effort))
        elif read.is_request_only:
            once.append(part)
        else:
            mixed.append(Mixed(part, read, items.classes(read.item)))
    return Predicate(written, _all(bitmaps), tuple(once), tuple(ages), tuple(mixed))


def _bitmap(part: Expression, read: Reads, items: ItemFacts, effort: Effort) -> Bools:
    if read.is_request_only:  # and no request either: a constant
        return np.full(len(items), part.holds({}))
    classes = items.classes(read.item)
    holds = np.empty(len(classes), np.bool_)
    facts = items.facts(read.item)
    for i, row in enumerate(classes.first.tolist()):
        holds[i] = part.holds({name: value(row) for name, value in facts})
        effort.one_more()
    found: Bools = holds[classes.of_row]
    return found


def _all(bitmaps: Sequence[Bools]) -> Bools | None:
    if len(bitmaps) == 0:
        return None
    found: Bools = np.logical_and.reduce(bitmaps)
    return found
