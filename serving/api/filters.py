"""Filters of requests, from HTTP to the desk that compiles them."""

from __future__ import annotations

import asyncio

from recsys.rules.compiled import CompiledRules
from serving.filters import FilterDesk


async def filtered(desk: FilterDesk, source: str | None) -> CompiledRules | None:
    """The rules that count with a filter; None where there is none.

    Raises:
        RuleError: if it is not sound.
        EventError: if filters cannot be asked here.
    """
    return None if source is None else await asyncio.to_thread(desk.rules_with, source)
