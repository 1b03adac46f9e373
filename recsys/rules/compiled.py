"""Rules ready for a catalog, and rules bound to one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.errors import RuleError
from recsys.rules.bitmaps import Effort, predicate
from recsys.rules.items import ItemFacts
from recsys.rules.limits import MAX_MIXED
from recsys.rules.predicate import Bools, Predicate, Rows, Written, write
from recsys.rules.request import RequestFacts
from recsys.rules.schema import Availability, Filter, Rule, RuleSet


@dataclass(frozen=True)
class CompiledRule:
    """A rule and when it counts."""

    rule: Rule
    predicate: Predicate

    @property
    def hides(self) -> bool:
        """Whether it takes items out of slates."""
        return isinstance(self.rule.action, Filter | Availability)

    def hidden(self, holds: Bools) -> Bools:
        """(n,) the items that it takes out, given where its expression holds."""
        return ~holds if isinstance(self.rule.action, Availability) else holds


@dataclass(frozen=True)
class CompiledRules:
    """A rule set for one catalog."""

    rule_set: RuleSet
    items: ItemFacts
    rules: tuple[CompiledRule, ...]
    """Higher priority first; those of the same by id."""

    @property
    def version(self) -> str:
        """Of the rule set."""
        return self.rule_set.version

    def bind(self, request: RequestFacts) -> BoundRules | None:
        """What counts for one request; None where nothing does."""
        bound = [
            BoundRule(one, one.predicate.is_asked(request))
            for one in self.rules
            if one.rule.is_active(request.now)
        ]
        counts = [
            b for b in bound if b.is_asked or isinstance(b.compiled.rule.action, Availability)
        ]
        return BoundRules(self.items, request, tuple(counts)) if len(counts) > 0 else None


@dataclass(frozen=True)
class BoundRule:
    """A rule that counts for a request."""

    compiled: CompiledRule
    is_asked: bool
    """Whether the parts that read the request only hold; if not, it holds of no item."""

    @property
    def rule(self) -> Rule:
        """As it was written."""
        return self.compiled.rule

    @property
    def is_cheap(self) -> bool:
        """Whether no expression must be evaluated any more."""
        return not self.is_asked or len(self.compiled.predicate.mixed) == 0


@dataclass(frozen=True)
class BoundRules:
    """The rules of a set that count for one request."""

    items: ItemFacts
    request: RequestFacts
    rules: tuple[BoundRule, ...]

    def holds(self, one: BoundRule, rows: Rows) -> Bools:
        """(n,) the candidates of which a rule's expression holds."""
        if not one.is_asked:
            return np.zeros(len(rows), np.bool_)
        return one.compiled.predicate.holds(self.items, rows, self.request)

    def cheap(self, one: BoundRule, rows: Rows | slice) -> Bools:
        """(n,) the same, where nothing must be evaluated; more than that for mixed rules."""
        found = one.compiled.predicate.cheap(self.items, rows, self.request.now)
        return found if one.is_asked else np.zeros_like(found)

    def allowed(self, rows: Rows | slice = slice(None)) -> Bools:
        """(n,) items that no rule hides of which this is known without evaluating any."""
        n = len(self.items.catalog.available_from[rows])
        found = np.ones(n, np.bool_)
        for one in self.rules:
            if one.compiled.hides and one.is_cheap:
                found &= ~one.compiled.hidden(self.cheap(one, rows))
        return found

    @property
    def hiding(self) -> list[str]:
        """Ids of the rules that ``allowed`` goes by."""
        return [one.rule.id for one in self.rules if one.compiled.hides and one.is_cheap]

    @property
    def late(self) -> list[str]:
        """Ids of the rules that were not evaluated for all candidates: the time was over."""
        late = self.request.late
        return [
            one.rule.id
            for one in self.rules
            if any(part in late for part in one.compiled.predicate.mixed)
        ]

    def naming(self, row: int) -> list[str]:
        """Ids of the rules whose expression holds of one item, and of those that hide it."""
        one_row = np.array([row])
        found = []
        for one in self.rules:
            holds = self.holds(one, one_row)
            if (one.compiled.hidden(holds) if one.compiled.hides else holds)[0]:
                found.append(one.rule.id)
        return found


def write_rules(rule_set: RuleSet) -> list[tuple[Rule, Written]]:
    """Check and compile the expressions of all rules; no catalog is asked for.

    Raises:
        RuleError: naming the rule, the place and what to write instead.
    """
    written = []
    for rule in rule_set.rules:
        try:
            written.append((rule, write(rule.when)))
        except RuleError as error:
            raise _of(rule, error) from error
    mixed = [rule.id for rule, one in written if one.is_mixed]
    if len(mixed) > MAX_MIXED:
        raise RuleError(
            f"rule {mixed[MAX_MIXED]}",
            f"is number {len(mixed)} of those that read item and request in one comparison",
            f"At most {MAX_MIXED} may; what reads one of the two only stands between && on its own",
        )
    return written


def compile_rules(rule_set: RuleSet, items: ItemFacts, effort: Effort) -> CompiledRules:
    """A rule set for a catalog.

    Args:
        rule_set: sound.
        items: of the catalog.
        effort: how long the bitmaps may take.

    Raises:
        RuleError: naming the rule, the place and what to write instead.
    """
    compiled = []
    for rule, written in write_rules(rule_set):
        try:
            compiled.append(CompiledRule(rule, predicate(written, items, effort)))
        except RuleError as error:
            raise _of(rule, error) from error
    return CompiledRules(rule_set, items, _ordered(compiled))


def _ordered(rules: Sequence[CompiledRule]) -> tuple[CompiledRule, ...]:
    return tuple(sorted(rules, key=lambda one: (-one.rule.priority, one.rule.id)))


def _of(rule: Rule, error: RuleError) -> RuleError:
    return RuleError(f"rule {rule.id}, when, {error.thing}", error.problem, error.remedy)
