"""Are reasons true, and what do they cost?

A model trained for moments on the first events of MovieLens-100K, transitions included; 1,000
times a random user at a random moment and a random one of the user's recent events: what is said
that the event adds to the 20 best items, against the scores of a user who did everything else,
folded from nothing and scored as slates are, at the same trend.

``reason_max_error``           histories that the profile holds, or that are read from the record
``reason_held_max_error``      histories longer than what the profile holds, from what it holds
``reason_us``                  processor time of a slate's reasons: k = 20, 64 recent events
``reason_full_us``             the same with every event's effect on every item
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.zero_shot import is_positive
from recsys.ranking import Floats, trend_part
from recsys.reasons import EXPLAIN, Histories, Scoring, explain, history_evidence
from recsys.settings import Settings, load
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.training.export import exported
from recsys.training.fitting import Material, epochs, with_training
from recsys.training.learner import Learner
from recsys.trend import TrendState, trend_features
from tests.benchmarks.quality_parts.material import Log, dataset

N_TRAIN, N_EPOCHS, K = 30_000, 2, 20


@dataclass(frozen=True)
class World:
    """A trained model and those it was trained on."""

    log: Log
    shelf: Shelf
    settings: Settings


def run(cases: int = 1_000, rounds: int = 300, say: Any = print) -> dict[str, Any]:
    """Measure; return the figures.

    Args:
        cases: how many statements are checked.
        rounds: slates timed.
        say: told what happens.
    """
    world, rng = trained(say), np.random.default_rng(5)
    long, short = [], []
    for case in range(cases):
        exact, held = errors(world, rng)
        short.append(exact)
        if held is not None:
            long.append(held)
        if case % 100 == 99:
            say(f"reasons: {case + 1} of {cases}, at most {max(short):.2g} off")
    return {
        "reason_cases": cases,
        "reason_max_error": float(max(short)),
        "reason_held_cases": len(long),
        "reason_held_max_error": float(max(long, default=0.0)),
        **costs(world, rounds),
    }


def trained(say: Any = print) -> World:
    """A learned model of the first events of MovieLens-100K."""
    settings = with_training(load(), n_epochs=N_EPOCHS, pilot=False)
    log = dataset("movielens-100k", settings)
    first = np.sort(np.argsort(log.events.ts, kind="stable")[:N_TRAIN])
    log = replace(log, events=log.events.kept(first))
    material = Material.of(log.events, log.catalog, log.text, settings)
    steps = N_EPOCHS * material.steps_per_epoch(settings.train.batch_events)
    learner = Learner(material.log, settings, steps, settings.train.seed)
    for figures in epochs(learner, material, settings):
        say(f"reasons: epoch {figures['epoch']}, loss {figures['loss']:.3f}")
    learner.refresh()
    found = exported(learner.network, material.log, settings)
    items = ItemTable(found.vectors, found.warm)
    shelf = Shelf(
        log.catalog, items, found.model, found.interest, settings.trend, found.transitions
    )
    return World(log, shelf, settings)


def errors(world: World, rng: np.random.Generator) -> tuple[float, float | None]:
    """How far a statement is off; and, of a long history, what is said without the record."""
    history, as_of = _somebody(world, rng)
    trend = _trend(world, as_of)
    evidence = _evidence(world, history, as_of)
    shown, before = _scores(world, evidence, trend, as_of, None)
    place = int(rng.integers(len(evidence.recent_item)))
    left_out = _place_in(history, evidence, place)
    others = history.pick(np.arange(len(history.ts)) != left_out)
    without = _evidence(world, others, as_of)
    after = dict(zip(*_scores(world, without, trend, as_of, shown), strict=True))
    moved = before - np.array([after[item] for item in shown.tolist()])

    def off(said_of: Evidence) -> float:
        histories = Histories(world.shelf, said_of)
        scoring = Scoring(world.shelf, histories, trend, as_of, shown)
        return float(np.abs(scoring.effects[:, place] - moved).max())

    whole = off(evidence)
    if len(history.ts) <= world.shelf.interest.n_recent:
        return off(replace(evidence, behind=None)), None
    return whole, off(replace(evidence, behind=None))


def costs(world: World, rounds: int) -> dict[str, float]:
    """Microseconds of the processor for the reasons of one slate: the median."""
    rng = np.random.default_rng(9)
    found: dict[str, float] = {}
    for how, name in zip(EXPLAIN[1:], ("reason_us", "reason_full_us"), strict=True):
        times = []
        for _ in range(rounds):
            history, as_of = _somebody(world, rng, world.shelf.interest.n_recent)
            trend = _trend(world, as_of)
            evidence = replace(_evidence(world, history, as_of), behind=None)
            options = SlateOptions(k=K, explain="none")
            items = make_slate(world.shelf, evidence, trend, as_of, options).items
            rows = np.array([item.row for item in items])
            parts = {
                part: np.array([item.parts[part] for item in items], np.float32)
                for part in ("interest", "neighbours")
            }
            parts["trend"] = trend_part(evidence.query, world.shelf.items.warm, trend)
            started = time.thread_time()
            explain(world.shelf, evidence, trend, as_of, rows, parts, how)  # type: ignore[arg-type]
            times.append(time.thread_time() - started)
        found[name] = round(1e6 * float(np.median(times)), 1)
    return found


def _somebody(world: World, rng: np.random.Generator, at_least: int = 1) -> tuple[FoldBatch, float]:
    """The past of a random user at a random moment."""
    events = world.log.events
    lengths = np.diff(events.bounds)
    user = int(rng.choice(np.flatnonzero(lengths >= at_least)))
    first, last = int(events.bounds[user]), int(events.bounds[user + 1])
    end = int(rng.integers(first + at_least, last + 1))
    history = FoldBatch.of(events, slice(first, end))
    history = history.pick(np.lexsort([-np.arange(len(history.ts)), history.ts])[::-1])
    return history, float(history.ts.max() + 10.0 ** rng.uniform(0.0, 7.0))


def _evidence(world: World, history: FoldBatch, as_of: float) -> Evidence:
    data = world.settings.data
    found = history_evidence(world.shelf, history, data, as_of, None)
    return replace(found, seen=np.zeros(0, np.int64))  # so that the same items are shown


def _scores(
    world: World, evidence: Evidence, trend: Floats, as_of: float, candidates: Any
) -> tuple[Any, Any]:
    """The rows of the best of some items, and their scores, as a slate has them."""
    options = SlateOptions(k=K, candidates=candidates, explain="none")
    items = make_slate(world.shelf, evidence, trend, as_of, options).items
    return np.array([item.row for item in items]), np.array([item.score for item in items])


def _place_in(history: FoldBatch, evidence: Evidence, place: int) -> int:
    same = (history.item == evidence.recent_item[place]) & (history.ts == evidence.recent_ts[place])
    return int(np.flatnonzero(same & (history.kind == evidence.recent_kind[place]))[0])


def _trend(world: World, as_of: float) -> Floats:
    """What everybody had chosen by then."""
    events, interest = world.log.events, world.settings.interest
    state = TrendState(world.settings.trend.half_lives_s)
    past = (events.ts <= as_of) & (events.item >= 0)
    weight = is_positive(events.kind[past], events.value[past], interest).astype(np.float64)
    state.add(events.item[past], events.ts[past], weight)
    return trend_features(state.at(as_of, len(world.log.catalog)))
