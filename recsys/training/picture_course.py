"""How a model came about and how good it is, as sections of its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recsys.evaluation.report_page import Figure, curve, figure, table

Part = tuple[str, list[str | Figure]]


@dataclass(frozen=True)
class Course:
    """How the model came about, and how good it is."""

    history: Sequence[Mapping[str, Any]] = ()
    """Figures of every epoch: ``phase``, ``epoch``, ``loss``, in a pilot ``stale_share``,
    ``ndcg``."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the whole by name."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Further tables by title, for example of ablations: rows of one shape, names first."""


def course_sections(course: Course) -> list[Part]:
    """Training curves, figures and further tables; what is not there is left out."""
    tables = [(name, _rows(rows)) for name, rows in course.tables.items()]
    return [_training(course), _quality(course), *tables]


def _training(course: Course) -> Part:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for epoch in course.history:
        share = epoch.get("stale_share")
        name = epoch["phase"] if share is None else f"{epoch['phase']}, cutoffs {share:g}"
        runs.setdefault(name, []).append(epoch)
    parts: list[str | Figure] = []
    for key, title in (("loss", "Loss"), ("ndcg", "NDCG@10 on the validation tail")):
        traces = []
        for n, (name, epochs) in enumerate(runs.items()):
            points = [(e["epoch"], float(e[key])) for e in epochs if e.get(key) is not None]
            if points:
                x, y = (np.array(values) for values in zip(*points, strict=True))
                traces.append({**curve(name, x, y, n), "mode": "lines+markers"})
        if traces:
            parts.append(figure(traces, title, {"xaxis": {"title": {"text": "epoch"}}}))
    if parts:
        note = "The pilot learns from events before the tail; the fit after it learns from all."
        parts.insert(0, f"<p>{note}</p>")
    return "Training", parts


def _quality(course: Course) -> Part:
    rows = [{"figure": name, "value": value} for name, value in course.quality.items()]
    return "Figures", _rows(rows)


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[str | Figure]:
    if not rows:
        return []
    head = list(rows[0])
    return [table(head, [[_cell(row.get(name)) for name in head] for row in rows])]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping) and "mean" in value:
        return f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
