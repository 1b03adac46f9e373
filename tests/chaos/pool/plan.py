"""What befalls the pool in a run: drawn from the seed alone, so a run may be had again.

The plan is the same for the same seed; which thread is where when it befalls them is not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.chaos.pool.faulty import NO_FAULTS, Faults

N_PARTITIONS = 8
LOAD_S = 0.9
"""Seconds in which the pool is written to and read while things befall it."""

SHARD_POINTS = (
    "append.before_commit",
    "append.after_commit",
    "open.before_claim",
    "open.after_claim",
    "open.before_serving",
    "hand_over.before",
    "hand_over.before_release",
    "hand_over.after",
    "store.write",
)
STEWARD_POINTS = ("move.prepared", "move.released", "move.switched", "move.opened")
OFTEN = {"append.before_commit": 0.03, "append.after_commit": 0.03, "store.write": 0.1}
"""Probability of a point that is passed often; the others are passed a few times in a run."""
SELDOM = 0.2

THEMES = (
    "killed",
    "killed at a point",
    "stopped",
    "stopped at a point",
    "steward crashes",
    "ledger fails",
    "snapshot torn",
    "clocks differ",
    "disk full",
    "node lost",
    "scaled",
    "database dies",
)
SQLITE, GROUPED, POSTGRES, TMPFS = "sqlite", "grouped", "postgres", "tmpfs"


class Deed(NamedTuple):
    """Something that is done to the pool."""

    at_s: float
    """After the load began."""
    what: str
    value: float
    """In [0, 1): which, or how much."""


@dataclass(frozen=True)
class Plan:
    """A run."""

    seed: int
    theme: str
    ledger: str
    n_shards: int
    deeds: tuple[Deed, ...]
    failpoints: str = ""
    faults: Faults = NO_FAULTS
    skew: float = 0.0
    """Share by which the clocks of processes go faster or slower."""
    snapshot_every_s: float = 0.25
    steward_point: str | None = None
    """Where the steward crashes, the first time it comes by."""
    jumps: bool = False
    """Whether the wall clock, by which events are dated, jumps."""
    standby: bool = False
    """Whether shards keep copies of one another's partitions."""

    def calmed(self) -> Plan:
        """The plan of a process that starts when all is over."""
        return replace(self, failpoints="", faults=NO_FAULTS)


def plan_of(seed: int, has_postgres: bool, has_tmpfs: bool, theme: str | None = None) -> Plan:
    """The plan of a seed; themes take turns where none is named."""
    draw = random.Random(seed)
    theme = THEMES[seed % len(THEMES)] if theme is None else theme
    plan = Plan(seed, theme, _ledger(draw, theme, has_postgres, has_tmpfs), draw.randint(1, 3), ())
    deeds = [_deed(draw) for _ in range(draw.randint(0, 2))] + _theme_deeds(draw, plan)
    point = draw.choice(SHARD_POINTS)
    share = OFTEN.get(point, SELDOM)
    action = {"killed at a point": "kill", "stopped at a point": "stop"}.get(theme)
    if action is not None and point not in OFTEN:
        deeds += [_at(draw, "scale"), _at(draw, "scale")]
    return replace(
        plan,
        deeds=tuple(sorted(deeds)),
        failpoints="" if action is None else f"{point}={action}:{share}",
        faults=Faults(0.1, 0.15) if theme == "ledger fails" else NO_FAULTS,
        skew=0.1 if theme == "clocks differ" else 0.0,
        jumps=theme == "clocks differ",
        snapshot_every_s=draw.choice((0.1, 0.3)),
        steward_point=draw.choice(STEWARD_POINTS) if theme == "steward crashes" else None,
        standby=draw.random() < 0.5,
    )


def _ledger(draw: random.Random, theme: str, has_postgres: bool, has_tmpfs: bool) -> str:
    if theme == "disk full":
        return draw.choice([SQLITE, TMPFS]) if has_tmpfs else SQLITE
    if has_postgres and (theme == "database dies" or draw.random() < 0.15):
        return POSTGRES
    return draw.choice([SQLITE, SQLITE, SQLITE, GROUPED])


def _theme_deeds(draw: random.Random, plan: Plan) -> list[Deed]:
    fixed = {
        "snapshot torn": [Deed(0.5, "tear", 0.5), Deed(0.55, "kill", 0.5)],
        "disk full": [Deed(0.15, "disk full", draw.random()), Deed(0.6, "disk free", 0.0)],
    }
    drawn = {
        "killed": ["kill"] * draw.randint(1, 3),
        "stopped": ["stop", draw.choice(["stop", "kill", "scale"])],
        "steward crashes": ["scale", "scale"],
        "scaled": ["scale", "scale"],
        "snapshot torn": ["tear"],
        "clocks differ": ["stop", "scale", "kill"],
        "node lost": ["orphan", draw.choice(["orphan", "drain", "kill"])],
        "database dies": ["database" if plan.ledger == POSTGRES else "kill"],
    }
    return fixed.get(plan.theme, []) + [_at(draw, what) for what in drawn.get(plan.theme, [])]


def _deed(draw: random.Random) -> Deed:
    return _at(draw, draw.choice(["kill", "kill", "stop", "scale", "orphan"]))


def _at(draw: random.Random, what: str) -> Deed:
    return Deed(draw.uniform(0.1, 0.8 * LOAD_S), what, draw.random())
