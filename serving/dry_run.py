"""A dry run: one slate under the rules that count, and under others."""

from __future__ import annotations

import asyncio

from recsys.errors import EventError
from recsys.rules.compiled import CompiledRules
from recsys.rules.contradictions import warnings
from recsys.rules.differences import differences
from recsys.rules.request import read_context
from serving.api.rule_schemas import ChangeOut, DryRunIn, DryRunReply, WarningOut
from serving.asking import Asker
from serving.gateway import Gateway
from serving.slates import SlateRequest, session_request


async def dry_run(gateway: Gateway, told: DryRunIn, rules: CompiledRules) -> DryRunReply:
    """What rules would change of somebody's slate.

    Args:
        gateway: with the rules that count.
        told: for whom.
        rules: compiled for the gateway's catalog.

    Raises:
        EventError: if it is not said for whom, or an argument is unsound.
        UnavailableError: as of ``Gateway.recommend``.
    """
    asker, request = await _asked(gateway, told)
    before = await gateway.slate(asker, request)
    after = await gateway.slate(asker, request, rules)
    was, now = ([item.item_id for item in reply.items] for reply in (before, after))
    about = await asyncio.to_thread(_about, rules, asker, request, {*was, *now})
    return DryRunReply(
        before=before,
        after=after,
        changes=[
            ChangeOut(
                item_id=one.item_id, before=one.before, after=one.after, rules=list(one.rules)
            )
            for one in differences(was, now, about)
        ],
        warnings=[WarningOut(rules=list(w.rules), text=w.text) for w in warnings(rules)],
    )


async def _asked(gateway: Gateway, told: DryRunIn) -> tuple[Asker, SlateRequest]:
    if (told.user_id is None) == (told.session is None):
        raise EventError("user_id and session", "are both given, or neither", "Give one of them")
    if told.session is not None:
        return await gateway.visitor(told.session), session_request(told.session)
    said = read_context(told.context)
    request = SlateRequest(told.k, told.exclude_seen, told.as_of, said=said)
    assert told.user_id is not None
    return await gateway.user(told.user_id, request), request


def _about(
    rules: CompiledRules, asker: Asker, request: SlateRequest, item_ids: set[str]
) -> dict[str, list[str]]:
    """Item id -> the rules that are about it."""
    bound = rules.bind(request.said.at(asker.as_of, asker.is_known))
    if bound is None:
        return {}
    index = rules.items.catalog.index
    return {item_id: bound.naming(index[item_id]) for item_id in item_ids}
