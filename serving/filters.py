"""Filters that come with a request: CEL, compiled as rules are and kept for the next request."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from recsys.errors import EventError, RuleError
from recsys.rules.bitmaps import Effort
from recsys.rules.compiled import CompiledRule, CompiledRules, compile_rules
from recsys.rules.items import ItemFacts
from recsys.rules.schema import read_rules
from serving.gateway import Gateway
from serving.rules import RuleDesk

ID = "request.filter"


class FilterDesk:
    """The latest filters, compiled for a gateway's catalog.

    Args:
        rules: of the gateway; None = it has none, and takes no filters.
        limit: most filters that are kept.
        limit_s: seconds that one may take to compile.
        timer: seconds, ever rising.
    """

    def __init__(
        self, rules: RuleDesk | None, limit: int, limit_s: float, timer: Callable[[], float]
    ) -> None:
        self._rules, self._limit, self._limit_s, self._timer = rules, limit, limit_s, timer
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[ItemFacts, CompiledRule]] = OrderedDict()

    def rules_with(self, source: str) -> CompiledRules:
        """The rules that count now, with one more: only items of which a filter holds are shown.

        Args:
            source: an expression of the language of rules, within their limits.

        Raises:
            RuleError: if it is not sound, or takes too long to go through the catalog.
            EventError: if filters cannot be asked here.
        """
        if self._rules is None:
            raise EventError("filter", "cannot be asked here", "Ask without a filter")
        standing = self._rules.standing.compiled
        with self._lock:  # one at a time: compiling holds up the others anyhow
            known = self._known.get(source)
            if known is None or known[0] is not standing.items:
                known = standing.items, self._compiled(source, standing.items)
            self._known[source] = known
            self._known.move_to_end(source)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)
        return replace(standing, rules=(known[1], *standing.rules))

    def _compiled(self, source: str, items: ItemFacts) -> CompiledRule:
        rule = {"id": ID, "when": source, "action": {"type": "availability"}}
        try:
            effort = Effort(self._timer, self._limit_s)
            (compiled,) = compile_rules(read_rules({"rules": [rule]}), items, effort).rules
        except RuleError as error:
            thing = error.thing.replace(f"rule {ID}, when", "filter")
            raise RuleError(thing, error.problem, error.remedy) from error
        return compiled


def filter_desk(gateway: Gateway) -> FilterDesk:
    """The desk of a gateway."""
    limits = gateway.settings.serving.api
    args = (limits.max_filters, limits.filter_limit_s, time.perf_counter)
    return FilterDesk(gateway.rules, *args)
