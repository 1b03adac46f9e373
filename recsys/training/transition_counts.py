"""Transitions of a log in training: counted run by run, solved once, shared with all workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from recsys.events import UNKNOWN_ITEM
from recsys.settings import Settings
from recsys.training.sequences import History, Pack, Questions, pack, questions
from recsys.training.surroundings import Surroundings
from recsys.transition_sums import TransitionSums
from recsys.transitions import N_FOLDS, Pasts, Transitions, pasts, untrained

_ROWS = 256


def transition_sums(log: Surroundings, settings: Settings) -> TransitionSums:
    """Empty sums over the most frequent items of a log; partitions are counted and merged."""
    lives, n = log.half_lives_s, len(log.half_lives_s)
    kept = (lives[n // 8], lives[n // 4], lives[7 * n // 8])
    form = settings.model
    n_recent = min(form.n_transition_events, settings.interest.n_recent)
    return TransitionSums(untrained(log.counts, kept, n_recent, form.n_transition_items))


def count_transitions(sums: TransitionSums, rows: pa.Table, settings: Settings) -> None:
    """Count the choices in some runs (schema ``USER_ROWS``)."""
    history: History = "strict" if settings.train.history == "strict" else "ordered"
    for first in range(0, len(rows), _ROWS):
        runs = pack(rows.slice(first, _ROWS))
        asked = questions(runs, history)
        past = histories(runs, asked, sums.form, whole=False)
        sums.add(past, asked.target_bounds, asked.target)


def histories(runs: Pack, asked: Questions, learned: Transitions, whole: bool) -> Pasts:
    """What transitions see of each question's user.

    Args:
        runs: the events.
        asked: P questions.
        learned: the transitions.
        whole: read those learned from everybody, not those learned without the user's fold.
    """
    fold = np.full(len(asked), N_FOLDS) if whole else runs.fold[asked.run]
    moments = (runs.bounds[asked.run], asked.last, asked.as_of, fold)
    sign = np.where(runs.item != UNKNOWN_ITEM, runs.sign, 0)  # words alone are no item of a history
    return pasts(learned, (runs.item, runs.ts, sign), moments)


def with_transitions(log: Surroundings, sums: TransitionSums, settings: Settings) -> Surroundings:
    """A log with the transitions that its choices make."""
    transitions, apart = sums.solved(settings.model.transition_ridge)
    return replace(log, transitions=transitions, transitions_apart=apart)
