"""Memory per user, everything in it: state, masses, recent events, seen items, ids and their map.

64 tables in float16 with both default banks (10 half-lives of 64 dimensions), in a process of its
own. Every user has 30 events (Poisson) of distinct items, which are recent and seen, and an id of
20 bytes. ``bytes_per_user`` is the slope of the process's resident size from a tenth of the users
to all of them; ``growth_pause_ms`` the longest time that making room for one more user took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import psutil

from recsys.interest.id_map import IdBytes
from recsys.interest.profiles import ProfileTable
from recsys.interest.shown import ShownItems
from recsys.settings import InterestSettings
from tests.benchmarks.pool_parts import tables as made

N_EVENTS = 30
_AT_ONCE = 4_000


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    found = {}
    for dtype in ("float16", "float32"):
        n_users = options.users if dtype == "float16" else options.users // 4
        command = [sys.executable, "-m", __spec__.name, dtype, str(n_users)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[dtype] = json.loads(told.splitlines()[-1])
    return {
        "bytes_per_user": found["float16"]["bytes"],
        "float32_bytes_per_user": found["float32"]["bytes"],
        "shown_bytes_per_user": _shown_bytes(),
        "growth_pause_ms": found["float16"]["pause_ms"],
        "one_table_growth_pause_ms": found["float16"]["one_table_pause_ms"],
    }


def _shown_bytes() -> float:
    """Bytes of a user's impressions, the id and spare room left out, where the places are full."""
    n_shown, users = InterestSettings().n_shown, np.arange(1_000)
    shown = ShownItems(n_shown)
    ids = IdBytes.of(np.repeat(made.names(users), n_shown).tolist())
    item = np.tile(np.arange(n_shown), len(users))
    shown.add(ids, item, made.START + item)
    return shown.n_bytes / shown.n_places


def main(dtype: str, n_users: int) -> None:
    """Fill tables, and say what a user takes."""
    basis, rng = made.basis_of(), np.random.default_rng(11)
    tables = made.new_tables(basis, "float16" if dtype == "float16" else "float32")
    sizes, pause_s = [], 0.0
    first = n_users // 10
    _fill(tables, basis, rng, 0, first)
    sizes.append(psutil.Process().memory_info().rss)
    _fill(tables, basis, rng, first, n_users)
    sizes.append(psutil.Process().memory_info().rss)
    pause_s = _pause(tables, n_users)
    alone = made.new_tables(basis, "float16")[0]
    print(  # noqa: T201 - to the process that asked
        json.dumps(
            {
                "bytes": round((sizes[1] - sizes[0]) / (n_users - first), 1),
                "pause_ms": round(1e3 * pause_s, 3),
                "one_table_pause_ms": round(1e3 * _pause([alone], n_users), 3),
            }
        )
    )


def _fill(tables: list[ProfileTable], basis: Any, rng: Any, first: int, last: int) -> None:
    made.add_users(tables, first, last)
    for start in range(first, last, _AT_ONCE):
        users = np.arange(start, min(start + _AT_ONCE, last))
        users = np.repeat(users, rng.poisson(N_EVENTS, len(users)))
        drawn = made.batch_of(rng, rng.permutation(users), made.START)
        ready = basis.codes.prepare(drawn.events, basis.model, basis.items)
        for table, (rows, some) in zip(tables, drawn.parts(ready), strict=True):
            table.apply(rows, some)


def _pause(tables: list[ProfileTable], n_users: int) -> float:
    """Longest seconds of this thread in one call that makes 256 users known."""
    longest = 0.0
    per_table = 1 << 15 if len(tables) > 1 else n_users
    for table in tables[:4]:
        for start in range(0, per_table, 256):
            ids = IdBytes.of(made.names(np.arange(n_users + start, n_users + start + 256)))
            begun = time.thread_time()
            table.rows(ids, create=True)
            longest = max(longest, time.thread_time() - begun)
    return longest


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
