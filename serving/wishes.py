"""What users say of their interests: checked, written as events, and obeyed in slates."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import NamedTuple

from recsys.errors import EventError, NotFoundError
from recsys.graph.interest_graph import InterestGraph
from recsys.rules.compiled import BoundRules
from recsys.rules.items import ItemFacts
from recsys.rules.request import RequestFacts
from recsys.schema import Event, microseconds
from recsys.shelf import Evidence, Shelf
from recsys.wishes.matching import Wished, labelled, matched
from recsys.wishes.ruling import no_rules, with_wishes
from recsys.wishes.steering import steered
from recsys.wishes.wish import BOOST, FORGET, MUTE, PIN, WISH, Value, Wish, encoded, wish_text
from serving.api.graph_schemas import WishIn, WishOut
from serving.pool.messages import ProfileView

MAX_WISHES = 64
"""Interests that one user may have said something of."""
FORGOTTEN: Mapping[str, Value] = {MUTE: None, BOOST: None, PIN: None, FORGET: True}


class Target(NamedTuple):
    """The interest that is meant, in the words of a wish."""

    node: int | None
    label: str
    vector: str


class Steering(NamedTuple):
    """What wishes leave of a request."""

    evidence: Evidence
    rules: BoundRules | None
    note: str | None


def steering(
    shelf: Shelf,
    items: ItemFacts,
    evidence: Evidence,
    wishes: tuple[Wish, ...],
    bound: BoundRules | None,
    facts: RequestFacts,
) -> Steering:
    """Obey wishes.

    Args:
        shelf: of the bundle.
        items: of its catalog.
        evidence: of the user.
        wishes: of the user.
        bound: business rules that count for the request.
        facts: of the request.
    """
    graph = shelf.graph
    wished = matched(wishes, graph)
    if graph is None or len(wished.by_node) == 0:
        return Steering(evidence, bound, None)
    found = steered(shelf, evidence, wished, facts.now)
    rules = with_wishes(bound, no_rules(items, facts), wished, found.away, graph)
    return Steering(found.evidence, rules, found.note)


def changes_of(told: WishIn) -> dict[str, Value]:
    """The fields that a client set.

    Raises:
        EventError: if there are none.
    """
    changes: dict[str, Value] = {name: getattr(told, name) for name in told.model_fields_set}
    if len(changes) == 0:
        raise EventError("body", "wishes nothing", "Give mute, boost or pin")
    return changes


def target(name: str, view: ProfileView, graph: InterestGraph) -> Target:
    """The interest that a client names, by label, whatever its case, or by number of its node.

    Raises:
        NotFoundError: if neither the graph nor the user's wishes have it; it names those there are.
        EventError: if the user said something of too many others.
    """
    node = _named(name, graph)
    known = {wish.label: wish for wish in view.wishes}
    if node is None and name in known:
        wish = known[name]
        return Target(None, wish.label, wish.vector)
    if node is None:
        labels = [one.label for one in graph.labels]
        raise NotFoundError(f"interest {name!r}", "does not exist", f"There are: {labels}")
    label = graph.labels[node].label
    if label not in known and len(known) >= MAX_WISHES:
        raise EventError("interest", f"is one of more than {MAX_WISHES}", "Change one of those")
    return Target(node, label, encoded(graph.centres[node]))


def wish_event(
    tenant: str, view: ProfileView, to: Target, changes: Mapping[str, Value], now: float
) -> Event:
    """The event that a wish is; it is later than all that the user wished before.

    So it holds, whichever gateway's clock those were dated by.
    """
    before = max((wish.latest.ts for wish in view.wishes), default=0.0)
    at = max(microseconds(now), microseconds(before) + 1) / 1e6
    text = wish_text(to.label, to.vector, changes)
    return Event(tenant, uuid.uuid4().hex, view.user_id, None, WISH, at, 0, at, text=text)


def wishes_out(wished: Wished, graph: InterestGraph) -> dict[int, WishOut]:
    """Wishes by node."""
    return {a: wish_out(wish, a, graph) for a, wish in sorted(wished.by_node.items())}


def wish_out(wish: Wish, node: int | None, graph: InterestGraph) -> WishOut:
    """One wish as it is sent."""
    return WishOut(
        node=node,
        label=wish.label if node is None else graph.labels[node].label,
        mute=wish.is_muted,
        boost=wish.boost,
        pin=wish.is_pinned,
        forgotten_at=wish.forgotten_at,
        is_active=node is not None,
    )


def told(to: Target, wishes: tuple[Wish, ...], graph: InterestGraph) -> WishOut:
    """What a user wishes of an interest by now."""
    mine = [wish for wish in wishes if wish.label == to.label]
    wished = matched(wishes, graph).by_node
    wish = wished.get(-1 if to.node is None else to.node)
    if wish is None:
        wish = mine[0] if len(mine) > 0 else Wish(to.label, to.vector, {})
    return wish_out(wish, to.node, graph)


def _named(name: str, graph: InterestGraph) -> int | None:
    exact = labelled(name, graph)
    if exact is not None:
        return exact
    folded = [one.label.casefold() for one in graph.labels]
    if name.casefold() in folded:
        return folded.index(name.casefold())
    is_number = name.isascii() and name.isdigit() and len(name) < 9
    return int(name) if is_number and int(name) < len(graph) else None
