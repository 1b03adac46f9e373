"""When a rule counts: its expression, cut into what can be known early and what cannot.

All parts that the outermost ``&&`` joins must hold. A part that reads items only is a bitmap over
the catalog; one that reads the request only is asked once a request; an age against a number is
one comparison of arrays; the rest, *mixed*, is asked for each class of the candidates left.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import RuleError
from recsys.rules.items import ItemFacts
from recsys.rules.language import Expression
from recsys.rules.limits import check_limits
from recsys.rules.mixed import Mixed
from recsys.rules.reads import AGE, ITEM, Reads, reads
from recsys.rules.request import RequestFacts
from recsys.rules.tokens import NUMBER, conjuncts, tokens

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]

_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class AgeTest:
    """``item.age_days`` against a number."""

    compare: str
    days: float

    def holds(self, ages_days: npt.NDArray[np.float64]) -> Bools:
        """(n,) for n ages."""
        found: Bools = _COMPARE[self.compare](ages_days, self.days)
        return found


@dataclass(frozen=True)
class Written:
    """A sound expression and its parts, before any catalog."""

    whole: Expression
    parts: tuple[tuple[Expression, Reads], ...]

    @property
    def is_mixed(self) -> bool:
        """Whether it must be evaluated for each candidate of each request."""
        return any(_is_mixed(expression, read) for expression, read in self.parts)

    @property
    def is_item_only(self) -> bool:
        """Whether it is the same at every request and every moment."""
        return all(read.is_item_only for _, read in self.parts)


def write(source: str) -> Written:
    """Check, compile and cut an expression.

    Raises:
        RuleError: if it is too large or does not compile.
    """
    check_limits(source)
    whole = Expression(source)
    try:
        parts = [Expression(part) for part in conjuncts(source)]
    except RuleError:  # cut at a wrong place: then it is one part
        parts = [whole]
    return Written(whole, tuple((part, reads(part.source)) for part in parts))


@dataclass(frozen=True)
class Predicate:
    """An expression for one catalog."""

    written: Written
    bitmap: Bools | None
    """(N,) where all parts that read items only hold; None = there are no such parts."""
    once: tuple[Expression, ...]
    """Parts that read the request only."""
    ages: tuple[AgeTest, ...]
    mixed: tuple[Mixed, ...]

    def is_asked(self, request: RequestFacts) -> bool:
        """Whether the parts that read the request only hold."""
        return all(expression.holds(request.facts) for expression in self.once)

    def cheap(self, items: ItemFacts, rows: Rows | slice, now: float) -> Bools:
        """(n,) where all parts hold that no expression must be evaluated for."""
        if self.bitmap is None:
            found = np.ones(len(items.catalog.available_from[rows]), np.bool_)
        else:
            found = self.bitmap[rows].copy()
        for test in self.ages:
            found &= test.holds(items.ages_days(rows, now))
        return found

    def holds(self, items: ItemFacts, rows: Rows, request: RequestFacts) -> Bools:
        """(n,) where all parts hold but those that read the request only."""
        found = self.cheap(items, rows, request.now)
        for part in self.mixed:
            left = np.flatnonzero(found)
            if len(left) > 0:
                found[left] = part.holds(items, rows[left], request)
        return found


def age_test(source: str) -> AgeTest | None:
    """The comparison that a part is, if it is one.

    >>> age_test("item.age_days < 7.0")
    AgeTest(compare='<', days=7.0)
    """
    words = tokens(source)
    said = [word.text for word in words]
    if said[:3] != [ITEM, ".", AGE] or len(words) != 5 or words[4].kind != NUMBER:
        return None
    if said[3] not in _COMPARE or "." not in said[4]:
        return None
    return AgeTest(said[3], float(said[4]))


def _is_mixed(expression: Expression, read: Reads) -> bool:
    if read.is_item_only or read.is_request_only:
        return False
    return age_test(expression.source) is None
