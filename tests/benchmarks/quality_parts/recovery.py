"""Recovery: a world of one law, whose half-lives a model of as many should find again.

Items are given by their true vectors; the model has no trend, no pairs and no residuals, so that
nothing but decayed means can explain a choice. Half-lives are matched in sorted order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.testing.worlds import RecoveryLaw, WorldSize, recovery
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.material import of_world
from tests.benchmarks.quality_parts.trained import seeded, train

N_DIMS = 16
SETTINGS = (
    "model.n_half_lives=3",
    "model.n_negative_half_lives=1",
    "model.use_trend=false",
    "model.use_transitions=false",
    "model.use_id=false",
    "model.readout=linear",
    f"encoder.n_dims={N_DIMS}",
    "train.stale_shares=[0.0]",
    "train.targets=all",  # the world draws what it drew before, too
    "train.half_life_rate=30",
    "model.fades=false",  # and what it has drawn does not fade while nobody comes
    "train.dropout=0.0",
    "train.id_dropout=0.0",
)


def run(bench: Bench) -> Found:
    """A world and a training of each seed; the half-lives are averaged over the seeds."""
    law = RecoveryLaw()
    settings = bench.settings(*SETTINGS)
    size = WorldSize(
        n_users=bench.scaled(2_000),
        n_items=bench.scaled(500),
        n_events=bench.scaled(2_000) * 60,
        n_dims=N_DIMS,
    )
    found, notes = [], []
    for seed in bench.seeds:
        world = recovery(size, np.random.default_rng(settings.train.seed + seed), law)
        log = replace(of_world("recovery", world, settings), text=world.item_vectors)
        served = train(log, seeded(settings, seed), bench.say, bench.minutes, pilot=False)
        found.append(sorted(served.interest.half_lives_s))
        bench.say(f"recovery, seed {seed}: {[round(x / 3600, 2) for x in found[-1]]} hours")
        notes.append(served.notes())
    errors = relative_errors(np.array(found).mean(axis=0), np.array(law.half_lives_s))
    return {
        "figures": {"recovery_max_error": round(float(errors.max()), 5)},
        "details": {
            "true_s": list(law.half_lives_s),
            "found_s": found,
            "relative_errors": [round(float(error), 5) for error in errors],
            "max_error_of_each_seed": [
                round(float(relative_errors(np.array(one), np.array(law.half_lives_s)).max()), 5)
                for one in found
            ],
            "world": {"n_users": size.n_users, "n_items": size.n_items, "n_events": size.n_events},
            "seeds": notes,
            "settings": list(SETTINGS),
        },
    }


def relative_errors(
    found: np.ndarray[tuple[int], np.dtype[np.float64]],
    true: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """|found - true| / true, matched in sorted order."""
    true = np.sort(true)
    return np.abs(np.sort(found) - true) / true
