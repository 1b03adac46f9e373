"""Rules that cannot all have their way, found when they are written as far as that can be said.

Two rules are compared where both are *plain*: they read items only, so that the items they are
about are known; and where they are written with the same words. What depends on request or moment
is decided by precedence when it comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from recsys.rules.compiled import CompiledRule, CompiledRules
from recsys.rules.predicate import Bools
from recsys.rules.schema import Boost, Bury, Pin, Quota, Rule
from recsys.rules.tokens import normal


@dataclass(frozen=True)
class Warned:
    """Something about rules that is sound, and hardly meant."""

    rules: tuple[str, ...]
    """Ids."""
    text: str


def warnings(compiled: CompiledRules) -> list[Warned]:
    """What is odd about a rule set.

    Args:
        compiled: for the catalog that is served; rules that are not enabled are passed over.
    """
    rules = [one for one in compiled.rules if one.rule.enabled]
    found = [*_idle(rules), *_empty(compiled, rules)]
    for a, b in combinations(rules, 2):
        if _meet(a.rule, b.rule):
            for x, y in ((a, b), (b, a)):
                text = _hidden_pin(x, y) or _quotas(x, y) or _undone(x, y)
                if text is not None:
                    found.append(Warned((x.rule.id, y.rule.id), text))
                    break
            else:
                found += _same_place(a, b)
    return found


def _idle(rules: list[CompiledRule]) -> Iterator[Warned]:
    """Rules about no item, and quotas that want more than there are."""
    for one in rules:
        about, action = _about(one), one.rule.action
        if about is None:
            continue
        n = int(about.sum())
        if n == 0 and not one.hides:
            yield Warned((one.rule.id,), "is about no item of the catalog")
        elif isinstance(action, Quota) and (action.at_least or 0) > n:
            text = f"wants at least {action.at_least}, but the catalog has {n} such items"
            yield Warned((one.rule.id,), text)


def _empty(compiled: CompiledRules, rules: list[CompiledRule]) -> Iterator[Warned]:
    """Filters that leave nothing."""
    left = np.ones(len(compiled.items), np.bool_)
    hiding = []
    for one in rules:
        about = _about(one)
        if one.hides and about is not None:
            left &= ~one.hidden(about)
            hiding.append(one.rule.id)
    if len(hiding) > 0 and not left.any():
        yield Warned(tuple(hiding), "together leave no item of the catalog: slates will be empty")


def _hidden_pin(pin: CompiledRule, hiding: CompiledRule) -> str | None:
    if not isinstance(pin.rule.action, Pin) or not hiding.hides:
        return None
    pinned, about = _about(pin), _about(hiding)
    if pinned is not None and about is not None and pinned.any():
        is_hidden = not (pinned & ~hiding.hidden(about)).any()
    else:
        is_hidden = hiding.rule.action.type == "filter" and _same_words(pin, hiding)
    return "pins only what is filtered; the filter wins" if is_hidden else None


def _quotas(least: CompiledRule, most: CompiledRule) -> str | None:
    a, b = least.rule.action, most.rule.action
    if not isinstance(a, Quota) or not isinstance(b, Quota):
        return None
    if a.at_least is None or b.at_most is None or a.at_least <= b.at_most:
        return None
    inner, outer = _about(least), _about(most)
    if inner is not None and outer is not None:
        is_within = bool(inner.any()) and not (inner & ~outer).any()
    else:
        is_within = _same_words(least, most)
    if not is_within:
        return None
    return f"wants at least {a.at_least} of what may be {b.at_most} at most; the maximum wins"


def _undone(a: CompiledRule, b: CompiledRule) -> str | None:
    x, y = a.rule.action, b.rule.action
    if not isinstance(x, Boost) or not isinstance(y, Boost | Bury):
        return None
    if isinstance(y, Bury):
        return "boosts what is buried" if _is_up(x) and _share(a, b) else None
    if not _same_items(a, b):
        return None
    product = (x.multiply or 1.0) * (y.multiply or 1.0)
    total = (x.add or 0.0) + (y.add or 0.0)
    is_undone = abs(product - 1.0) < 1e-9 and abs(total) < 1e-9
    return "boost the same items, and undo each other" if is_undone else None


def _same_place(a: CompiledRule, b: CompiledRule) -> Iterator[Warned]:
    x, y = a.rule.action, b.rule.action
    if isinstance(x, Pin) and isinstance(y, Pin) and x.place == y.place:
        text = f"pin to the same place {x.place}; where both count, {a.rule.id} has it"
        yield Warned((a.rule.id, b.rule.id), text)


def _is_up(boost: Boost) -> bool:
    return (boost.multiply or 1.0) > 1.0 or (boost.add or 0.0) > 0.0


def _share(a: CompiledRule, b: CompiledRule) -> bool:
    """Whether there is an item that both are about."""
    left, right = _about(a), _about(b)
    if left is None or right is None:
        return _same_words(a, b)
    return bool((left & right).any())


def _same_items(a: CompiledRule, b: CompiledRule) -> bool:
    left, right = _about(a), _about(b)
    if left is None or right is None:
        return _same_words(a, b)
    return bool(left.any()) and np.array_equal(left, right)


def _same_words(a: CompiledRule, b: CompiledRule) -> bool:
    return normal(a.rule.when) == normal(b.rule.when)


def _about(one: CompiledRule) -> Bools | None:
    """(N,) the items that a plain rule is about; None where that depends on request or moment."""
    return one.predicate.bitmap if one.predicate.written.is_item_only else None


def _meet(a: Rule, b: Rule) -> bool:
    """Whether there is a moment at which both are active."""
    starts = [rule.active_from for rule in (a, b) if rule.active_from is not None]
    ends = [rule.active_until for rule in (a, b) if rule.active_until is not None]
    return len(starts) == 0 or len(ends) == 0 or max(starts) < min(ends)
