"""The discount of impression fatigue, fitted to a log with impressions.

    P(answer | n unanswered impressions before) = sigmoid(b + s - lambda n),    lambda >= 0

``s`` is a score where one is known. Without it items that users like less are shown without answer
more often, and lambda takes that for fatigue: give scores where there are any.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.events import EventArrays
from recsys.settings import DAY_S

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_ROUNDS = 50
_CLOSE = 1e-10


class Impressions(NamedTuple):
    """M impressions of known items, user by user, by time."""

    event: npt.NDArray[np.int64]
    """(M,) offsets into the log."""
    n_before: Doubles
    """(M,) unanswered impressions of the item by the user before, decayed."""
    is_answered: Bools
    """(M,) whether the user acted on the item soon after, before it was shown again."""


def read_impressions(
    events: EventArrays, kind: str, half_life_s: float, window_s: float = DAY_S
) -> Impressions:
    """The impressions of a log.

    Args:
        events: the log, user by user and by time.
        kind: of impressions; every other event of an item is an answer.
        half_life_s: in which an impression halves.
        window_s: seconds within which an answer counts as one to the impression.
    """
    is_shown = np.asarray(events.kind == kind, np.bool_)
    item = events.item.astype(np.int64)
    n_before, answered = np.zeros(len(item)), np.zeros(len(item), np.bool_)
    log = (item, np.asarray(events.ts, np.float64), is_shown)
    scratch = np.full(int(item.max(initial=-1)) + 1, -1, np.int64)
    _walk(log, events.bounds, (half_life_s, window_s), (n_before, answered), scratch)
    event = np.flatnonzero(is_shown & (item >= 0))
    return Impressions(event, n_before[event], answered[event])


def fit_discount(n_before: Doubles, is_answered: Bools, scores: Doubles | None = None) -> float:
    """Lambda by maximum likelihood; 0.0 where a log tells nothing of it, or repetition helps.

    Args:
        n_before: (M,) at least 0.
        is_answered: (M,).
        scores: (M,) log odds of the items up to a constant; None = of all the same.
    """
    if len(n_before) == 0 or np.ptp(n_before) == 0 or is_answered.all() or not is_answered.any():
        return 0.0
    offset = np.zeros(len(n_before)) if scores is None else np.asarray(scores, np.float64)
    design = np.stack([np.ones(len(n_before)), -n_before], axis=1)
    found = np.zeros(2)
    for _ in range(_ROUNDS):
        odds = 1.0 / (1.0 + np.exp(-(design @ found + offset)))
        slope = design.T @ (is_answered - odds)
        bend = (design * (odds * (1.0 - odds))[:, None]).T @ design
        move = np.linalg.solve(bend + 1e-9 * np.eye(2), slope)
        found += np.clip(move, -2.0, 2.0)
        if np.abs(move).max() < _CLOSE:
            break
    return max(0.0, float(found[1]))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(log: Any, bounds: Any, lives: Any, out: Any, last: npt.NDArray[np.int64]) -> None:
    """``last`` (N,) is scratch: where the current user was shown an item last, unanswered."""
    for user in range(len(bounds) - 1):
        for e in range(bounds[user], bounds[user + 1]):
            if log[0][e] >= 0:
                _count(log, e, lives, out, last)
        for e in range(bounds[user], bounds[user + 1]):
            if log[0][e] >= 0:
                last[log[0][e]] = -1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(log: Any, e: int, lives: Any, out: Any, last: npt.NDArray[np.int64]) -> None:
    """Take one event of a known item."""
    item, ts, is_shown = log
    n_before, answered = out
    before = last[item[e]]
    if is_shown[e]:
        if before >= 0:
            left = 2.0 ** (-max(0.0, ts[e] - ts[before]) / lives[0])
            n_before[e] = (n_before[before] + 1.0) * left
        last[item[e]] = e
    else:
        if before >= 0 and ts[e] - ts[before] <= lives[1]:
            answered[before] = True
        last[item[e]] = -1
