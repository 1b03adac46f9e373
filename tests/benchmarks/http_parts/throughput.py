"""Slates a second beside an application that does nothing, in turn on one Serve.

``waiting`` is the same application where it waits for a moment in each request.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

from tests.benchmarks.http_parts.load import Load, slates
from tests.benchmarks.http_parts.site import Plan, running


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure; ratios are medians of the rounds'."""
    plan = Plan(n_items=options.items, n_users=options.users)
    with running(plan) as site:
        noop = str(site.noop_url)
        sides = {"ours": site.url, "noop": noop, "waiting": f"{noop}/waiting"}
        for url in sides.values():  # the first requests open connections between processes
            slates(url, site.n_users, options.seconds)
        rounds: list[dict[str, Load]] = []
        for number in range(options.rounds):
            order = list(sides.items())[:: 1 if number % 2 == 0 else -1]
            found = {name: slates(url, site.n_users, options.seconds) for name, url in order}
            rounds.append(found)
            told = ", ".join(f"{n} {x.per_s:.0f}/s p99 {x.p99_ms:.0f} ms" for n, x in found.items())
            say(f"round {number + 1} of {options.rounds}: {told}")
    return {
        "throughput_ratio": _median(rounds, lambda r: r["ours"].per_s / r["noop"].per_s),
        "p99_ratio": _median(rounds, lambda r: r["ours"].p99_ms / r["noop"].p99_ms),
        "waiting_ratio": _median(rounds, lambda r: r["ours"].per_s / r["waiting"].per_s),
        **{f"{s}_per_s": _median(rounds, lambda r, s=s: r[s].per_s) for s in sides},
        **{f"{s}_p50_ms": _median(rounds, lambda r, s=s: r[s].p50_ms) for s in sides},
        **{f"{s}_p99_ms": _median(rounds, lambda r, s=s: r[s].p99_ms) for s in sides},
        "n_failed": sum(load.n_failed for found in rounds for load in found.values()),
    }


def _median(rounds: list[dict[str, Load]], of: Callable[[dict[str, Load]], float]) -> float:
    return round(statistics.median(of(found) for found in rounds), 3)
