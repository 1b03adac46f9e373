"""What business rules cost: 10 rules, of which 2 are mixed, on the candidates of one slate.

500 candidates of 50,000 items, others in every request and drawn by popularity (1 over the rank);
k = 20. One mixed rule reads an attribute of 400 values, the other
the title, which no two items share. One core; nothing of it waits.

``rules_p50_us``, ``rules_p99_us``  contexts come again, as countries and plans do
``rules_new_context_p50_us``        no two requests say the same, so both mixed rules are evaluated
``rules_compile_s``                 all expressions, and their bitmaps for the catalog
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from recsys.catalog import Catalog
from recsys.rules.applying import apply
from recsys.rules.bitmaps import Effort
from recsys.rules.compiled import CompiledRules, compile_rules
from recsys.rules.items import ItemFacts
from recsys.rules.request import Said
from recsys.rules.schema import read_rules

N_ITEMS, N_KINDS, N_BRANDS, N_CONTEXTS = 50_000, 60, 400, 16
N_CANDIDATES, K = 500, 20
DAY_S = 86_400.0
NOW = 20_000 * DAY_S

RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ('"kind-1" in item.categories', {"type": "filter"}),
    ('context.country == "c1" && item.attributes.brand == "brand-3"', {"type": "filter"}),
    ('item.attributes.stock != "none"', {"type": "availability"}),
    ('item.item_id == "i00042"', {"type": "pin", "place": 2}),
    ('"kind-2" in item.categories', {"type": "quota", "at_most": 2}),
    ('"kind-3" in item.categories', {"type": "quota", "at_least": 2}),
    ("item.age_days < 30.0", {"type": "boost", "multiply": 1.2}),
    ('user.is_known && item.attributes.brand.startsWith("brand-1")', {"type": "bury"}),
    ("item.attributes.brand == context.brand", {"type": "boost", "multiply": 1.5}),
    ("item.title.endsWith(context.word)", {"type": "filter"}),
)


def run(rounds: int = 300) -> dict[str, float]:
    """Measure.

    Args:
        rounds: requests timed of each kind, after a tenth as many that are not.
    """
    rng = np.random.default_rng(11)
    items = ItemFacts(_catalog(rng))
    named = [
        {"id": f"r{i}", "when": when, "action": action} for i, (when, action) in enumerate(RULES)
    ]
    started = time.perf_counter()
    rules = compile_rules(read_rules({"rules": named}), items, Effort(time.perf_counter))
    compile_s = time.perf_counter() - started
    again = [_context(n % N_CONTEXTS) for n in range(rounds + rounds // 10)]
    fresh = [_context(N_CONTEXTS + n) for n in range(rounds + rounds // 10)]
    usual, new = (_times(rules, said, rng)[-rounds:] for said in (again, fresh))
    return {
        "rules_p50_us": round(float(np.median(usual)), 1),
        "rules_p99_us": round(float(np.quantile(usual, 0.99)), 1),
        "rules_new_context_p50_us": round(float(np.median(new)), 1),
        "rules_compile_s": round(compile_s, 2),
    }


def _times(rules: CompiledRules, said: list[Said], rng: np.random.Generator) -> list[float]:
    """Microseconds of each request."""
    popularity = 1.0 / np.arange(1, N_ITEMS + 1)
    popularity /= popularity.sum()
    found = []
    for one in said:
        rows = np.sort(rng.choice(N_ITEMS, N_CANDIDATES, replace=False, p=popularity))
        scores = rng.normal(size=N_CANDIDATES).astype(np.float32)
        started = time.perf_counter()
        bound = rules.bind(one.at(NOW, is_known=True))
        assert bound is not None
        apply(bound, rows, scores, K)
        found.append(1e6 * (time.perf_counter() - started))
    return found


def _context(n: int) -> Said:
    return Said(context={"country": f"c{n}", "brand": f"brand-{n % N_BRANDS}", "word": f"{n:03}"})


def _catalog(rng: np.random.Generator) -> Catalog:
    kinds = rng.integers(0, N_KINDS, (N_ITEMS, 3))
    brands = rng.integers(0, N_BRANDS, N_ITEMS)
    stock = rng.random(N_ITEMS) < 0.05
    return Catalog(
        item_ids=[f"i{row:05}" for row in range(N_ITEMS)],
        titles=[f"Item {row:05}" for row in range(N_ITEMS)],
        texts=[""] * N_ITEMS,
        categories=[tuple(f"kind-{kind}" for kind in some) for some in kinds],
        available_from=NOW - rng.uniform(0.0, 1_000.0, N_ITEMS) * DAY_S,
        available_until=np.full(N_ITEMS, np.inf),
        attributes=[
            {"brand": f"brand-{brand}", "stock": "none" if is_out else "some"}
            for brand, is_out in zip(brands, stock, strict=True)
        ],
    )
