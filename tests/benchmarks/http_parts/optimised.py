"""Serve's switches for throughput beside its defaults: slates a second, and events a second.

Both ways stand side by side, each on a Ray of its own, and are asked in turn; callers show a key,
for HAProxy listens on every interface.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.benchmarks.http_parts.load import PER_POST, Load, events, slates
from tests.benchmarks.http_parts.site import Plan, running

FAST = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure; ratios are medians of the rounds'."""
    plan = Plan(n_items=options.items, n_users=options.users, has_noop=False, has_key=True)
    found: dict[str, list[Load]] = {"default": [], "fast": []}
    written: dict[str, list[Load]] = {"default": [], "fast": []}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hlp", dir="/tmp"))
        sites = {
            "default": stack.enter_context(running(plan)),
            "fast": stack.enter_context(running(plan, {**FAST, **ha_proxy(Path(folder))})),
        }
        turns = [
            (number, name, sites[name])
            for number in range(options.rounds + 1)
            for name in list(sites)[:: 1 if number % 2 == 0 else -1]
        ]
        for number, name, site in turns:  # the first turns open connections between processes
            load = slates(site.url, site.n_users, options.seconds, key=site.key)
            found[name] += [load] if number > 0 else []
            say(f"turn {number}, {name}: {load.per_s:.0f} slates/s, p99 {load.p99_ms:.0f} ms")
        for number, name, site in turns:
            load = events(site.url, options.items, options.seconds, key=site.key)
            written[name] += [load] if number > 0 else []
            say(f"turn {number}, {name}: {PER_POST * load.per_s:.0f} events/s")
    ratios = [f.per_s / d.per_s for f, d in zip(found["fast"], found["default"], strict=True)]
    return {
        "optimised_ratio": round(statistics.median(ratios), 3),
        "ingest_events_per_s": round(PER_POST * _per_s(written["fast"])),
        "default_events_per_s": round(PER_POST * _per_s(written["default"])),
        **{f"{name}_per_s": round(_per_s(loads), 1) for name, loads in found.items()},
        "fast_p99_ms": round(statistics.median(load.p99_ms for load in found["fast"]), 1),
        "n_failed": sum(
            load.n_failed for loads in (*found.values(), *written.values()) for load in loads
        ),
    }


def ha_proxy(folder: Path) -> dict[str, str]:
    """What lets HAProxy run as anybody, with its files in a folder."""
    name = "RAY_SERVE_HAPROXY_"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        f"{name}NBTHREAD": "1",
        f"{name}CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        f"{name}SOCKET_PATH": str(folder / "admin.sock"),
        f"{name}SERVER_STATE_BASE": str(folder),
        f"{name}SERVER_STATE_FILE": str(folder / "server-state"),
    }


def _per_s(loads: list[Load]) -> float:
    return statistics.median(load.per_s for load in loads)
