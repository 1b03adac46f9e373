"""What the model adds to the encoder's score, by features: the same for slates and reasons."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from recsys.ranker.alpha import checked, profiles
from recsys.ranker.model import LONG, SHORT, Ranker
from recsys.ranker.names import check_features
from recsys.ranker.viewed import Doubles, Viewed
from recsys.ranking import Floats


@cache
def feature(name: str) -> Any:
    """The module of a feature: its ``read``, and whether it ``IS_PERSONAL``.

    Raises:
        ValueError: if there is none.
    """
    check_features((name,))
    return import_module(f"recsys.ranker.features.{name}")


def personal(names: tuple[str, ...]) -> list[str]:
    """Those of some features that say something of the user."""
    return [name for name in names if feature(name).IS_PERSONAL]


def added(ranker: Ranker, viewed: Viewed) -> dict[str, Floats]:
    """What each feature that weighs anything adds to each item.

    Args:
        ranker: the model.
        viewed: n items, V histories.

    Returns:
        Feature -> (V, n).
    """
    weights = _weights(ranker, viewed)
    return {
        name: (weight * feature(name).read(viewed)).astype(np.float32)
        for name, weight in weights.items()
    }


def probabilities(ranker: Ranker, scores: Floats) -> Floats:
    """(n,) the chance that each of the ranked items is chosen next."""
    found: Floats = ranker.calibration.apply(scores).astype(np.float32)
    return found


def alpha_of(ranker: Ranker, viewed: Viewed) -> Doubles:
    """(V,) the share of the long taste in each history."""
    held, ts = viewed.held, viewed.events.ts
    profile, gap_s = profiles(held, ts, viewed.moments, viewed.long.sum(axis=1))
    return ranker.alpha.share(ranker.pull[1], profile, gap_s, ranker.options.short_half_life_s)


def _weights(ranker: Ranker, viewed: Viewed) -> dict[str, Any]:
    """Feature -> one weight, or (V, 1), of those that weigh anything."""
    found: dict[str, Any] = {name: weight for name, weight in ranker.weights.items() if weight}
    if ranker.alpha.kind != "fixed" and checked(ranker.options) and ranker.pull[0] > 0.0:
        alpha = alpha_of(ranker, viewed)[:, None]
        found |= {SHORT: ranker.pull[0] * (1.0 - alpha), LONG: ranker.pull[0] * alpha}
    return found
