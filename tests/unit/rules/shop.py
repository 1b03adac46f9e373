"""A small shop, and rules for it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from recsys.catalog import Catalog
from recsys.rules.bitmaps import Effort
from recsys.rules.compiled import BoundRules, CompiledRules, compile_rules
from recsys.rules.items import ItemFacts
from recsys.rules.request import read_context
from recsys.rules.schema import read_rules

DAY = 86_400.0
NOW = 1_700_000_000.0


def shop() -> Catalog:
    """Twelve items: i00 .. i11; tea or cake; of brand a, b or none; the odd ones are new."""
    n = 12
    kinds = [("tea",) if row < 6 else ("cake", "sweet") for row in range(n)]
    brands: list[dict[str, str]] = [
        {"brand": "ab"[row % 3]} if row % 3 < 2 else {} for row in range(n)
    ]
    return Catalog(
        item_ids=[f"i{row:02}" for row in range(n)],
        titles=[f"Item {row}" for row in range(n)],
        texts=[""] * n,
        categories=kinds,
        available_from=np.array([NOW - DAY if row % 2 else -np.inf for row in range(n)]),
        available_until=np.full(n, np.inf),
        attributes=brands,
    )


def rule(when: str, action: Any, **more: Any) -> dict[str, Any]:
    """A rule as a client writes it; of an action without arguments the name will do."""
    told = {"type": action} if isinstance(action, str) else action
    return {"id": "r", "when": when, "action": told, **more}


def compiled(*rules: Mapping[str, Any], catalog: Catalog | None = None) -> CompiledRules:
    """Rules for the shop; those without a name are called r0, r1, ..."""
    named = [{**one, "id": f"r{i}"} if one["id"] == "r" else one for i, one in enumerate(rules)]
    ticks = count()
    effort = Effort(lambda: float(next(ticks)) * 1e-6)
    items = ItemFacts(shop() if catalog is None else catalog)
    return compile_rules(read_rules({"rules": named}), items, effort)


def bound(
    *rules: Mapping[str, Any], now: float = NOW, known: bool = True, **said: Any
) -> BoundRules:
    """The same, for a request that says something."""
    request = read_context(said).at(now, known)
    made = compiled(*rules)
    return made.bind(request) or BoundRules(made.items, request, ())
