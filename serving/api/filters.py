"""Filters of requests, from HTTP to the desk that compiles them."""

from __future__ import annotations

import asyncio
import time

from recsys.rules.compiled import CompiledRules
from serving.filters import FilterDesk
from serving.gateway import Gateway


def filter_desk(gateway: Gateway) -> FilterDesk:
    """The desk of a gateway."""
    limits = gateway.settings.serving.api
    args = (limits.max_filters, limits.filter_limit_s, time.perf_counter)
    return FilterDesk(gateway.rules, *args)


async def filtered(desk: FilterDesk, source: str | None) -> CompiledRules | None:
    """The rules that count with a filter; None where there is none.

    Raises:
        RuleError: if it is not sound.
        EventError: if filters cannot be asked here.
    """
    return None if source is None else await asyncio.to_thread(desk.rules_with, source)
