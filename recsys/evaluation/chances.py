"""Whether probabilities come true: what the ranking model says, and what came of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.composition import Stage, questions
from recsys.evaluation.scene import Asked
from recsys.ranker.calibration import Calibration, calibration_error, reliability
from recsys.slate import SlateOptions, find, rank


def slate_chances(stage: Stage, asked: Asked, k: int, n_ranked: int) -> dict[str, npt.NDArray[Any]]:
    """The first items of each ranking, without sources and steps.

    Args:
        stage: the past; its shelf has a ranking model.
        asked: the queries, ``with_histories``.
        k: length of the slates.
        n_ranked: items that the probabilities are shared among.

    Returns:
        ``raw`` and ``calibrated`` (Q, k) probabilities, NaN in empty places, and ``is_right``
        (Q, k).
    """
    shape = (len(asked), k)
    raw, calibrated = np.full(shape, np.nan), np.full(shape, np.nan)
    is_right = np.zeros(shape, np.bool_)
    ranker, bounds = stage.shelf.ranker, asked.queries.target_bounds
    assert ranker is not None
    for q, question in enumerate(questions(stage, asked)):
        candidates = find(question, SlateOptions())
        ranked = rank(question, candidates, max(k, n_ranked))
        n = min(k, len(ranked))
        raw[q, :n] = Calibration().apply(ranked.scores)[:n]
        calibrated[q, :n] = ranker.calibration.apply(ranked.scores)[:n]
        target = asked.queries.target[bounds[q] : bounds[q + 1]]
        is_right[q, :n] = np.isin(ranked.rows[:n], target)
    return {"raw": raw, "calibrated": calibrated, "is_right": is_right}


def chance_figures(found: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """How far what was said is from what was observed.

    Args:
        found: ``slate_chances``.

    Returns:
        ``raw`` and ``calibrated``, each {``ece``, ``bins``: see ``calibration.reliability``}.
    """
    there = np.isfinite(found["raw"])
    taken = found["is_right"][there]
    bins = {name: reliability(found[name][there], taken) for name in ("raw", "calibrated")}
    return {name: {"ece": calibration_error(rows), "bins": rows} for name, rows in bins.items()}
