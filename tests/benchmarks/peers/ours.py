"""Systems of our own side that answer a folder: decayed neighbours, and popularity in windows."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from recsys.evaluation.baselines import POPULAR_WINDOWS_S, PopularReplay
from recsys.evaluation.nearness import choose_neighbours, with_only
from recsys.interest.zero_shot import signed_importance
from recsys.neighbours import Neighbours
from tests.benchmarks.peers.asking import answers
from tests.benchmarks.peers.exchange import Asked, Bools, Floats, Ints, Log
from tests.benchmarks.peers.writing import Asking, Record

EASE_DECAY = "ease-decay"
OURS = (EASE_DECAY, *POPULAR_WINDOWS_S)


class DecayedEase:
    """``recsys.neighbours`` as a peer: chosen on the tail, fitted to all that may be known."""

    def __init__(self, record: Record, asked: Asking) -> None:
        events, interest = record.events, record.settings.interest
        self._events = events
        self._importance = signed_importance(events.kind, events.value, interest)
        began = time.process_time()
        options, chosen = choose_neighbours(
            events, self._importance, asked.pilot, asked.tail, record.touches
        )
        tuned = time.process_time()
        known, worth = with_only(events, asked.train), self._importance[asked.train]
        self._neighbours = Neighbours.fit(known, worth, len(record.catalog), options)
        fitted = time.process_time()
        self.notes: dict[str, Any] = {
            "chosen": asdict(options),
            "tried": chosen["ndcg10"],
            "tune_s": tuned - began,
            "fit_s": fitted - tuned,
            "events_per_s": len(known) / (fitted - tuned),
        }

    def fit(self, log: Log, learned: Bools) -> None:
        """It is fitted when it is made."""

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        """See ``asking.Peer.scores``; the whole history counts, not only the latest events."""
        found = []
        for q in range(*rows.indices(len(asked))):
            run = np.arange(log.bounds[asked.user[q]], asked.end[q])
            run = run[log.item[run] >= 0]
            past = (log.item[run], log.ts[run], float(asked.ts[q]), self._importance[run])
            found.append(self._neighbours.part(*past))
        return np.stack(found)


class Popular:
    """Counts of the positive events in a window that ends at the query; queries rise in time."""

    def __init__(self, record: Record, window_s: float) -> None:
        scene = record.scene
        self._replay = PopularReplay(scene.item, scene.ts, scene.n_items, window_s)

    def fit(self, log: Log, learned: Bools) -> None:
        """There is nothing to learn."""

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        """See ``asking.Peer.scores``."""
        found = []
        for q in range(*rows.indices(len(asked))):
            self._replay.advance_to(float(asked.ts[q]))
            found.append(self._replay.counts.copy())
        return np.stack(found)


def answered(
    system: str, record: Record, asking: Asking, log: Log, asked: Asked
) -> tuple[tuple[Ints, Floats], dict[str, Any]]:
    """The answer of one of ``OURS``, and its notes."""
    peer: Any = (
        DecayedEase(record, asking)
        if system == EASE_DECAY
        else Popular(record, POPULAR_WINDOWS_S[system])
    )
    began = time.process_time()
    found = answers(peer, log, asked, log.train)
    ask_s = time.process_time() - began
    return found, {**getattr(peer, "notes", {}), "ask_s": ask_s, "n_queries": len(asked)}
