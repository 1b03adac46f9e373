"""The profile pool under chaos: nothing acknowledged is lost, or counted twice, or read too old.

Each run is a command of its own, ``python -m tests.chaos.pool``, which says its seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

ROOT = Path(__file__).parents[2]
SOUND = {"lost": 0, "duplicated": 0, "stale_writes": 0, "stale_reads": 0}
SEED = int(os.environ.get("HALFLIFE_CHAOS_SEED", np.random.SeedSequence().entropy % 2**32))  # type: ignore[operator]


def chaos(*options: str) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.chaos.pool", "--seed", str(SEED), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip(), f"{' '.join(command)}: {done.stderr[-4_000:]}"
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("runs") >= 1
    if found != SOUND:
        sys.stderr.write(done.stderr[-4_000:])
    return found


def test_every_kind_of_trouble_once() -> None:
    assert chaos("--runs", "12") == SOUND, f"HALFLIFE_CHAOS_SEED={SEED}"


@pytest.mark.parametrize(("broken", "kind"), [("reads", "stale_reads"), ("writes", "stale_writes")])
def test_a_pool_without_fences_is_found_out(
    broken: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFLIFE_CHAOS_BROKEN", broken)
    assert chaos("--runs", "24", "--theme", "node lost")[kind] > 0


@pytest.mark.ray
@pytest.mark.parametrize("kind", ["processes", "nodes", "calls"])
def test_a_pool_on_ray(kind: str) -> None:
    found = chaos("--ray", kind, "--seconds", "60", "--every", "10")
    assert found == SOUND, f"HALFLIFE_CHAOS_SEED={SEED}"
