"""What reports are built of: sections, Plotly figures and tables, and one HTML file around them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from recsys.settings import DAY_S, HOUR_S

Figure = dict[str, Any]
"""A Plotly figure: ``data`` and ``layout``."""
Sections = Sequence[tuple[str, list[str | Figure]]]
"""Titles, and what stands under them: HTML and figures."""

INK, QUIET, ACCENT = "#1f2933", "#9aa5b1", "#0f766e"
COLOURS = ("#0f766e", "#d97706", "#4f46e5", "#be123c", "#0284c7", "#65a30d", "#7c3aed", "#475569")
MINUTE_S, YEAR_S = 60.0, 365.25 * DAY_S


def page(title: str, sections: Sections, plotly_js: str) -> str:
    """A page that needs nothing beside it.

    Args:
        title: of the page.
        sections: from top to bottom; a section without parts is left out.
        plotly_js: the source of plotly.js, put inside.
    """
    figures: list[Figure] = []
    body = "".join(_section(name, parts, figures) for name, parts in sections if parts)
    whole = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    return Template(whole).substitute(
        title=html.escape(title),
        plotly=plotly_js,
        body=body,
        figures=json.dumps(figures).replace("</", "<\\/"),
    )


def figure(
    traces: Sequence[Mapping[str, Any]], title: str, layout: Mapping[str, Any] | None = None
) -> Figure:
    """A figure in the manner of the reports.

    Args:
        traces: of Plotly.
        title: above it.
        layout: of Plotly; what it says goes before the manner's own.
    """
    layout = layout or {}
    base = {
        "title": {"text": title, "x": 0, "xanchor": "left", "font": {"size": 15}},
        "font": {"family": "system-ui, sans-serif", "color": INK, "size": 13},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"t": 60, "r": 60, "b": 60, "l": 60, **layout.get("margin", {})},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        "height": 380,
    }
    rest = {name: value for name, value in layout.items() if name != "margin"}
    return {"data": list(traces), "layout": {**base, **rest}}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], ours: str | None = None) -> str:
    """HTML of a table; cells are escaped, and rows whose first cell is ``ours`` stand out."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr{' class=ours' if row[0] == ours else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><tr>{top}</tr>{body}</table></div>"


def cards(values: Sequence[tuple[str, str]]) -> str:
    """HTML of tiles, each a name and its value."""
    tiles = "".join(
        f"<div class='card'><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>"
        for name, value in values
    )
    return f"<div class='cards'>{tiles}</div>"


def span(seconds: float) -> str:
    """A stretch of time in its own unit.

    >>> span(20.0), span(5400.0), span(150 * 86400.0)
    ('20 s', '1.5 h', '150 d')
    """
    for unit, name in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= unit * (1.0 - 1e-9):
            number = seconds / unit
            return f"{number:.0f} {name}" if number >= 100.0 else f"{number:.3g} {name}"
    return f"{seconds:.3g} s"


def curve(name: str, x: Iterable[Any], y: Iterable[Any], n: int) -> dict[str, Any]:
    """The trace of a line, in the n-th colour."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": plain(x),
        "y": plain(y),
        "line": {"color": COLOURS[n % len(COLOURS)], "width": 2},
    }


def plain(values: Iterable[Any]) -> list[float]:
    """Numbers for JSON, of six digits: more cannot be seen."""
    return [float(f"{value:.6g}") for value in values]


def time_axis(title: str) -> dict[str, Any]:
    """A logarithmic axis of seconds whose ticks are spans."""
    ticks = [1.0, MINUTE_S, HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S, YEAR_S, 10 * YEAR_S]
    names = ["1 s", "1 min", "1 h", "1 d", "7 d", "30 d", "1 y", "10 y"]
    return {"type": "log", "title": {"text": title}, "tickvals": ticks, "ticktext": names}


def _section(title: str, parts: Sequence[str | Figure], figures: list[Figure]) -> str:
    """HTML of one section; its figures are appended to ``figures`` in order."""
    text = f"<h2>{html.escape(title)}</h2>" if title else ""
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            text += f"<div class='plot' id='plot{len(figures)}'></div>"
            figures.append(part)
    return f"<section>{text}</section>"
