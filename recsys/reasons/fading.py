"""When what an event adds to an item will have halved, if nothing else happens.

    effect(t) = score(profile read at t) - score(profile without the event, read at t)

at a few later moments, all in one reading of the model. Ages are interpolated between the two
around the half, so what is left at the moment told is about a half. The trend and the births of
items are held as they are now: this is about the event.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.reasons.effects import Scoring

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

_SOON_S = 60.0
LATER_S: Doubles = np.asarray(900.0 * 3.0 ** np.arange(11), np.float64)
"""Seconds from now at which an effect is read: 15 minutes to 615 days."""


def halved_at(scoring: Scoring, lead: Places, effect: Doubles) -> Doubles:
    """When the effect of one event on each item will be half of what it is.

    Args:
        scoring: of n items.
        lead: (n,) an event of each item; -1 = none.
        effect: (n,) what it adds now, above 0 where there is one.

    Returns:
        (n,) Unix seconds; NaN where there is no event, or where the effect outlasts ``LATER_S``.
    """
    moments = np.full(len(lead), np.nan)
    asked = np.flatnonzero(lead >= 0)
    if len(asked) == 0:
        return moments
    events, of = np.unique(lead[asked], return_inverse=True)
    half = effect[asked] / 2.0
    ages = np.tile(np.append(0.0, LATER_S), (len(asked), 1))
    left = np.vstack([effect[asked], _later(scoring, events, LATER_S)[:, of, asked]]).T
    moments[asked] = scoring.as_of + _crossing(ages, left, half)
    return moments


def _later(scoring: Scoring, events: Places, later_s: Doubles) -> Doubles:
    """(G, E, n) what events add at later moments."""
    which = np.tile(np.append(0, events + 1), len(later_s))
    moments = np.repeat(scoring.as_of + later_s, len(events) + 1)
    found = scoring.scores(which, moments).astype(np.float64)
    found = found.reshape(len(later_s), len(events) + 1, -1)
    added: Doubles = found[:, :1] - found[:, 1:]
    return added


def _crossing(ages: Doubles, left: Doubles, half: Doubles) -> Doubles:
    """(m,) the age at which what is left (m, P) at rising ages (m, P) is half, the first time.

    One half-life fades as a line of log effect over time, a wide bank as one over log time; what
    fades is between the two, so the geometric middle is taken. NaN where it never is.
    """
    below = left < half[:, None]
    end = np.maximum(np.argmax(below, axis=1), 1)
    rows = np.arange(len(ages))
    before, after = ages[rows, end - 1], ages[rows, end]
    high, low = left[rows, end - 1], left[rows, end]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(high / half) / np.log(high / low)
        even = (high - half) / (high - low)
    share = np.where((low > 0.0) & np.isfinite(share), share, even)
    share = np.where(share > 0.0, np.minimum(share, 1.0), 0.0)  # NaN is not above 0
    narrow = before + share * (after - before) + _SOON_S
    wide = (before + _SOON_S) * ((after + _SOON_S) / (before + _SOON_S)) ** share
    return np.where(below.any(axis=1), np.sqrt(narrow * wide) - _SOON_S, np.nan)
