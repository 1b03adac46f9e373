"""Wishes as rules of one request: the machinery that business rules go by serves users, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.graph.interest_graph import InterestGraph
from recsys.rules.compiled import BoundRule, BoundRules, CompiledRule
from recsys.rules.items import ItemFacts
from recsys.rules.predicate import Predicate, write
from recsys.rules.request import RequestFacts
from recsys.rules.schema import Action, Boost, Filter, Quota, Rule
from recsys.wishes.matching import Wished

_WHOLE = write("true")


def with_wishes(
    bound: BoundRules | None,
    empty: BoundRules,
    wished: Wished,
    away: Sequence[int],
    graph: InterestGraph,
) -> BoundRules | None:
    """The rules of a request, and what its user wishes after them, so that operators come first.

    Args:
        bound: rules that count for the request; None = none does.
        empty: the same request without rules.
        wished: by the nodes of the graph.
        away: nodes of which nothing is shown.
        graph: of the same catalog.

    Returns:
        None where there is nothing to obey. A rule of a user is called ``wish.WHAT.NODE``.
    """
    rules = [_rule("away", a, Filter(type="filter"), graph) for a in away]
    for a, wish in wished.by_node.items():
        if a in away or wish.is_muted:
            continue
        if wish.boost is not None:
            rules.append(_rule("boost", a, Boost(type="boost", multiply=wish.boost), graph))
        if wish.is_pinned:
            rules.append(_rule("pin", a, Quota(type="quota", at_least=1), graph))
    if len(rules) == 0:
        return bound
    known = empty if bound is None else bound
    return BoundRules(known.items, known.request, (*known.rules, *rules))


def no_rules(items: ItemFacts, request: RequestFacts) -> BoundRules:
    """A request without rules."""
    return BoundRules(items, request, ())


def _rule(what: str, node: int, action: Action, graph: InterestGraph) -> BoundRule:
    holds: npt.NDArray[np.bool_] = np.asarray(graph.node == node)
    rule = Rule(id=f"wish.{what}.{node}", when="true", action=action)
    return BoundRule(CompiledRule(rule, Predicate(_WHOLE, holds, (), (), ())), is_asked=True)
