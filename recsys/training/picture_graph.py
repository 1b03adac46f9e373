"""The interest graph as a section of a picture: nodes by mass and name, and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.report_page import ACCENT, INK, QUIET, Figure, figure, plain
from recsys.graph.interest_graph import InterestGraph

Part = tuple[str, list[str | Figure]]
Places = npt.NDArray[np.float64]

N_NODES, N_EDGES = 40, 60
_N_ROUNDS = 300
_SMALLEST, _LARGEST = 8.0, 44.0


def graph_section(graph: InterestGraph | None) -> Part:
    """The heaviest interests and the strongest edges between them; empty where there is none."""
    if graph is None or len(graph) == 0:
        return "Interests", []
    heaviness = graph.mass if graph.mass.any() else graph.sizes.astype(np.float32)
    shown = np.sort(np.argsort(-heaviness, kind="stable")[:N_NODES])
    slot = {int(a): n for n, a in enumerate(shown)}
    edges = [e for e in graph.strongest(len(graph) ** 2) if e.source in slot and e.target in slot]
    edges = edges[:N_EDGES]
    pull = np.zeros((len(shown), len(shown)))
    for edge in edges:
        pull[slot[edge.source], slot[edge.target]] = edge.passages
    at = layout(graph.centres[shown], pull)
    most = max((edge.passages for edge in edges), default=1.0)
    lines = [
        _line(at[slot[edge.source]], at[slot[edge.target]], edge.passages / most) for edge in edges
    ]
    note = (
        f"<p>The {len(shown)} heaviest of {len(graph)} interests. A circle is as large as the "
        "decayed number of events; what is near is alike. A line is a way that users took more "
        "often than by chance, the broader the more often, in colour towards where it leads.</p>"
    )
    axis = {"visible": False, "range": [-1.15, 1.15]}
    frame = {"xaxis": axis, "yaxis": axis, "height": 760, "showlegend": False}
    traces = [*(part for pair in lines for part in pair), _nodes(graph, shown, at, heaviness)]
    return "Interests", [note, figure(traces, "The interest graph", frame)]


def layout(centres: npt.NDArray[np.float32], pull: Places) -> Places:
    """Places of n nodes: like ones and those with edges near to each other, none on top of another.

    Springs and repulsion (Fruchterman and Reingold 1991), begun from the two widest axes of the
    centres, so the same graph has the same picture.

    Args:
        centres: (n, D) unit rows.
        pull: (n, n) strength of edges, at least 0.

    Returns:
        (n, 2) in [-1, 1].
    """
    n = len(centres)
    if n < 2:
        return np.zeros((n, 2))
    likeness = np.maximum(centres @ centres.T - np.eye(n), 0.0).astype(np.float64)
    both = (pull + pull.T) / max(float((pull + pull.T).max()), 1e-12)
    spring = likeness**2 + both
    spring /= spring.sum(axis=1).mean()
    middle = centres - centres.mean(axis=0)
    left, size, _ = np.linalg.svd(middle, full_matrices=False)
    at = np.zeros((n, 2))
    at[:, : min(2, len(size))] = (left * size)[:, :2]
    turn = 2.4 * np.arange(n)  # tells equal places apart
    at += 1e-3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    room = 1.0 / np.sqrt(n)
    for step in np.geomspace(0.1, 0.002, _N_ROUNDS):
        apart = at[:, None] - at[None]
        far = np.maximum(np.linalg.norm(apart, axis=2), 1e-6)
        force = room**2 / far**2 - spring * far / room
        np.fill_diagonal(force, 0.0)
        move = (apart * force[:, :, None]).sum(axis=1) - 0.4 * at
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        at += move / length * np.minimum(length, step)
    at -= (at.max(axis=0) + at.min(axis=0)) / 2.0
    found: Places = at / np.maximum(np.abs(at).max(axis=0), 1e-9)
    return found


def _nodes(
    graph: InterestGraph, shown: npt.NDArray[np.int64], at: Places, heaviness: Any
) -> dict[str, Any]:
    root = np.sqrt(heaviness[shown] / max(float(heaviness[shown].max()), 1e-12))
    names = [graph.labels[int(a)].label for a in shown]
    told = [
        f"{name}<br>{graph.sizes[a]:,} items, mass {graph.mass[a]:,.1f}"
        for name, a in zip(names, shown.tolist(), strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": plain(at[:, 0]),
        "y": plain(at[:, 1]),
        "text": names,
        "textposition": "top center",
        "textfont": {"size": 11, "color": INK},
        "hovertext": told,
        "hoverinfo": "text",
        "marker": {
            "size": plain(_SMALLEST + (_LARGEST - _SMALLEST) * root),
            "color": ACCENT,
            "opacity": 0.75,
            "line": {"color": "white", "width": 1},
        },
    }


def _line(start: Places, end: Places, share: float) -> list[dict[str, Any]]:
    """The first two thirds of a way quiet, the last third in colour."""
    turn = start + (end - start) * 2.0 / 3.0
    width = 0.75 + 4.0 * share
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": plain([a[0], b[0]]),
            "y": plain([a[1], b[1]]),
            "line": {"color": colour, "width": round(width, 2)},
            "opacity": 0.55,
            "hoverinfo": "skip",
        }
        for a, b, colour in ((start, turn, QUIET), (turn, end, "#d97706"))
    ]
