"""What a search has found: as JSON, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from recsys.training.search import STATES, Trial


def figures(trials: Sequence[Trial], best: Trial) -> dict[str, Any]:
    """JSON-ready: ``best``, ``default_ndcg10``, counts by state, and ``trials``."""
    first = next((trial for trial in trials if trial.number == 0), None)
    return {
        "best": {
            "trial": best.number,
            "values": dict(best.values),
            "ndcg10": best.best_ndcg,
            "n_epochs": 1 + best.curve.index(best.best_ndcg),
        },
        "default_ndcg10": None if first is None or not first.curve else first.best_ndcg,
        **{f"n_{state}": sum(trial.state == state for trial in trials) for state in STATES},
        "trials": [trial.as_dict() for trial in trials],
    }


def trial_table(trials: Sequence[Trial], best: Trial) -> Table:
    """All trials, the best first, for people."""
    table = Table(title="trials by NDCG@10 on the validation tail")
    for name in ("trial", "NDCG@10", "epochs", "state", "seconds", "settings"):
        table.add_column(name)
    for trial in sorted(trials, key=lambda trial: -trial.best_ndcg):
        values = ", ".join(f"{name}={value}" for name, value in trial.values.items())
        table.add_row(
            f"{trial.number}{' ★' if trial.number == best.number else ''}",
            f"{trial.best_ndcg:.4f}" if trial.curve else "",
            str(len(trial.curve)),
            trial.state,
            f"{trial.seconds:.0f}",
            escape(values or "as they stand"),
        )
    return table


def said(trial: Trial) -> str:
    """How a trial went, in one line."""
    if not trial.curve:
        return f"{trial.state}: {trial.problem}"
    return f"{trial.state} after {len(trial.curve)} epochs: NDCG@10 {trial.best_ndcg:.4f}"
