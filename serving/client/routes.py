"""The calls of the API, each written once for both forms of the client."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from serving.api.graph_schemas import GraphReply, InterestsReply, WishIn, WishReply
from serving.api.item_schemas import ItemIn, ItemReply, ItemsIn, ItemsReply, WrittenReply
from serving.api.rule_schemas import DryRunIn, DryRunReply, RulesReply
from serving.api.schemas import (
    EventIn,
    EventsReply,
    HealthReply,
    ProfileReply,
    SessionIn,
    SimilarReply,
    SlateReply,
    TrendingReply,
)
from serving.api.search_schemas import LatestReply, SearchReply
from serving.client.call import Call

INTEREST = "/v1/users/{user_id}/interests/{interest}"
ITEM = "/v1/items/{item_id}"

Event = EventIn | Mapping[str, Any]
Time = float | str
"""Unix seconds, or ISO 8601."""


def with_id(event: Event) -> dict[str, Any]:
    """An event as it is sent, with an id of the client's own, so that a retry counts once."""
    sent = event.model_dump(exclude_none=True) if isinstance(event, EventIn) else dict(event)
    if sent.get("event_id") is None:
        sent["event_id"] = uuid.uuid4().hex
    return sent


def event(user_id: str, kind: str, item_id: str | None = None, **more: Any) -> Call[EventsReply]:
    """Send one event: durable, and in the user's profile, when this returns.

    Args:
        user_id: who acted.
        kind: what was done.
        item_id: on what.
        more: further fields of ``EventIn``.
    """
    sent = with_id({"user_id": user_id, "kind": kind, "item_id": item_id, **more})
    sent = {name: value for name, value in sent.items() if value is not None}
    return Call(EventsReply, "POST", "/v1/events", body=sent, writes=(user_id,))


def events(many: Iterable[Event]) -> Call[EventsReply]:
    """Send many events at once; the reply lists those that are refused."""
    sent = [with_id(one) for one in many]
    users = tuple({str(one.get("user_id")) for one in sent})
    return Call(EventsReply, "POST", "/v1/events", body={"events": sent}, writes=users)


def recommend(user_id: str, k: int = 10, **more: Any) -> Call[SlateReply]:
    """A user's slate.

    Args:
        user_id: whose.
        k: its length.
        more: further parameters of the route: ``as_of``, ``diversity``, ``explain``, ``context``
            (a JSON text), ``interests``, ``exclude_seen``, ``min_version``.
    """
    route = "/v1/users/{user_id}/recommendations"
    ids, query = {"user_id": user_id}, {"k": k, **more}
    return Call(SlateReply, "GET", route, ids, query, reads=user_id)


def recommend_session(session: SessionIn | Mapping[str, Any]) -> Call[SlateReply]:
    """A slate for an anonymous visitor, from the items touched and the words said."""
    body = SessionIn.model_validate(session).model_dump(exclude_defaults=True)
    return Call(SlateReply, "POST", "/v1/recommendations", body=body)


def profile(user_id: str, as_of: Time | None = None) -> Call[ProfileReply]:
    """What is known of a user."""
    route, query = "/v1/users/{user_id}/profile", {"as_of": as_of}
    return Call(ProfileReply, "GET", route, {"user_id": user_id}, query)


def interests(
    user_id: str, as_of: Time | None = None, since: Time | None = None
) -> Call[InterestsReply]:
    """A user's interests, and what becomes of them."""
    route, query = "/v1/users/{user_id}/interests", {"as_of": as_of, "since": since}
    return Call(InterestsReply, "GET", route, {"user_id": user_id}, query)


def wish(user_id: str, interest: str, wish: WishIn | Mapping[str, Any]) -> Call[WishReply]:
    """Mute, boost or pin an interest; fields that are left out stay as they are."""
    body = WishIn.model_validate(wish).model_dump(exclude_unset=True)
    ids = {"user_id": user_id, "interest": interest}
    return Call(WishReply, "PATCH", INTEREST, ids, body=body, writes=(user_id,))


def forget_interest(user_id: str, interest: str) -> Call[WishReply]:
    """Forget an interest: what was done up to now does not count for it any more."""
    ids = {"user_id": user_id, "interest": interest}
    return Call(WishReply, "DELETE", INTEREST, ids, writes=(user_id,))


def similar(item_id: str, k: int = 10) -> Call[SimilarReply]:
    """Items like an item."""
    return Call(SimilarReply, "GET", "/v1/items/{item_id}/similar", {"item_id": item_id}, {"k": k})


def item(item_id: str) -> Call[ItemReply]:
    """What is known of an item."""
    return Call(ItemReply, "GET", ITEM, {"item_id": item_id})


def items(limit: int = 100, cursor: str | None = None) -> Call[ItemsReply]:
    """A page of all items, by id."""
    return Call(ItemsReply, "GET", "/v1/items", query={"limit": limit, "cursor": cursor})


def put_item(item_id: str, item: ItemIn | Mapping[str, Any]) -> Call[WrittenReply]:
    """Say what an item is, as a whole: durable when this returns, in slates moments later."""
    body = ItemIn.model_validate(item).model_dump(exclude_unset=True)
    return Call(WrittenReply, "PUT", ITEM, {"item_id": item_id}, body=body)


def patch_item(item_id: str, item: ItemIn | Mapping[str, Any]) -> Call[WrittenReply]:
    """Change what is named of an item; fields that are left out stay as they are."""
    body = ItemIn.model_validate(item).model_dump(exclude_unset=True)
    return Call(WrittenReply, "PATCH", ITEM, {"item_id": item_id}, body=body)


def delete_item(item_id: str) -> Call[WrittenReply]:
    """Take an item away. A ``NotFoundError`` after a retry says that an attempt before did it."""
    return Call(WrittenReply, "DELETE", ITEM, {"item_id": item_id})


def write_items(many: ItemsIn | Mapping[str, Any]) -> Call[WrittenReply]:
    """Write many items as wholes, and take others away; all of it, or nothing."""
    body = ItemsIn.model_validate(many).model_dump(exclude_unset=True)
    return Call(WrittenReply, "POST", "/v1/items:bulk", body=body)


def trending(
    k: int = 10, half_life_s: float | None = None, as_of: Time | None = None
) -> Call[TrendingReply]:
    """What everybody turns to."""
    query = {"k": k, "half_life_s": half_life_s, "as_of": as_of}
    return Call(TrendingReply, "GET", "/v1/trending", query=query)


def search(
    words: str, user_id: str | None = None, k: int = 10, personal: float = 0.5
) -> Call[SearchReply]:
    """Items near to words; what a user likes stands before what is as near."""
    query = {"q": words, "user_id": user_id, "k": k, "personal": personal}
    return Call(SearchReply, "GET", "/v1/search", query=query)


def latest(k: int = 10) -> Call[LatestReply]:
    """Items that came last, newest first."""
    return Call(LatestReply, "GET", "/v1/latest", query={"k": k})


def popular(k: int = 10) -> Call[TrendingReply]:
    """What everybody ever turned to."""
    return Call(TrendingReply, "GET", "/v1/popular", query={"k": k})


def graph(edges: int = 100) -> Call[GraphReply]:
    """The interests of the catalog, and the strongest edges between them."""
    return Call(GraphReply, "GET", "/v1/graph", query={"edges": edges})


def rules() -> Call[RulesReply]:
    """The business rules that count."""
    return Call(RulesReply, "GET", "/v1/rules")


def put_rules(rules: Iterable[Mapping[str, Any]], expected: str | None) -> Call[RulesReply]:
    """Write a whole set of rules, if ``expected`` is still the version that counts."""
    body = {"rules": [dict(rule) for rule in rules], "expected_version": expected}
    return Call(RulesReply, "PUT", "/v1/rules", body=body, is_repeatable=False)


def roll_back_rules(expected: str | None, version: str | None = None) -> Call[RulesReply]:
    """Let an earlier version of the rules count again."""
    body = {"expected_version": expected, "version": version}
    return Call(RulesReply, "POST", "/v1/rules/rollback", body=body, is_repeatable=False)


def dry_run_rules(asked: DryRunIn | Mapping[str, Any]) -> Call[DryRunReply]:
    """What rules would change of somebody's slate."""
    if isinstance(asked, BaseModel):
        asked = asked.model_dump(mode="json", exclude_none=True)
    return Call(DryRunReply, "POST", "/v1/rules/dry-run", body=dict(asked))


def health() -> Call[HealthReply]:
    """Whether everything is there; an unhealthy service is an ``UnavailableError`` at once."""
    return Call(HealthReply, "GET", "/healthz", is_retried=False)
