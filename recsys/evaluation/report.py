"""The report: one HTML file that needs nothing beside it, drawn from the figures of a run."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from recsys.evaluation.protocol import OURS
from recsys.evaluation.report_composition import composition_section
from recsys.evaluation.report_page import (
    ACCENT,
    COLOURS,
    INK,
    QUIET,
    Figure,
    cards,
    figure,
    page,
    span,
    table,
)
from recsys.interest.stored import LEARNED

_STRATA_SHOWN = 4


def render(report: Mapping[str, Any], plotly_js: str) -> str:
    """The report as HTML.

    Args:
        report: what ``pipelines.evaluate`` returns, with ``lives``.
        plotly_js: the source of plotly.js, put inside.
    """
    sections = [_headline(report), _new(report), _repeats(report), _ratings(report)]
    sections += [_strata(report), composition_section(report.get("composition"))]
    sections += [_weights(report), _lives(report), _details(report)]
    return page("Halflife: evaluation", sections, plotly_js)


def _headline(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    k = report["k"]
    best = report["popular_best"]
    lead = report["new"]["comparisons"][best]
    split = report["split"]
    tiles = [
        (f"NDCG@{k}, Halflife", _number(report[f"ndcg{k}"])),
        (f"NDCG@{k}, {best}", _number(report[f"popular_best_ndcg{k}"])),
        ("difference (95% interval)", _spread(lead)),
        ("queries", f"{report['new']['n_queries']:,} of {report['new']['n_users']:,} users"),
    ]
    start = "" if split.get("start") is None else f" at {_date(split['start'])}"
    line = f"Split {html.escape(split['name'])}{start}; bundle {html.escape(report['bundle_id'])}."
    return "", [f"<p class='lead'>{line}</p>{cards(tiles)}"]


def _new(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    found = report["new"]
    k = found["k"]
    note = (
        "<p>Candidates are all items that could be had at the moment of the query, less those that "
        "the user had touched. Bars show 95% intervals, bootstrapped over users.</p>"
    )
    return "Items new to the user", [
        note,
        _bars(found["systems"], f"NDCG@{k}"),
        _table(found["systems"], k, found["comparisons"]),
        _slate_table(report.get("slates", {})),
    ]


def _repeats(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    found = report.get("repeats")
    if not found:
        return "Repeats", []
    note = "<p>Right answers that the user had touched before, ranked among all touched items.</p>"
    return "Repeats", [
        note,
        _bars(found["systems"], f"NDCG@{found['k']}"),
        _table(found["systems"], found["k"], found["comparisons"]),
    ]


def _ratings(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    found = report.get("ratings")
    if not found:
        return "Predicted ratings", []
    rows = [[name, *(_spread(m) for m in x.values())] for name, x in found["systems"].items()]
    note = f"<p>{found['n_ratings_drawn']:,} ratings, each from strictly earlier ones.</p>"
    return "Predicted ratings", [note, table(["system", "RMSE", "MAE"], rows, OURS)]


def _strata(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    parts: list[str | Figure] = []
    titles = {"activity": "by events in the user's history", "popularity": "by item popularity"}
    for name, title in titles.items():
        rows = report["strata"][name]
        best = sorted(report["new"]["systems"], key=lambda s: -_ndcg(report["new"]["systems"], s))
        shown = [OURS, *(system for system in best if system != OURS)][:_STRATA_SHOWN]
        traces = [
            {
                "type": "bar",
                "name": system,
                "x": [f"{row['label']}<br>n={row['n_queries']:,}" for row in rows],
                "y": [row["systems"][system]["mean"] for row in rows],
                "error_y": _errors([row["systems"][system] for row in rows]),
                "marker": {"color": COLOURS[i]},
            }
            for i, system in enumerate(shown)
        ]
        whole = f"NDCG@{report['k']} {title}"
        parts.append(figure(traces, whole, {"barmode": "group"}))
    return "Strata", parts


def _weights(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    weights, lives = report["weights"], report["half_lives_s"]
    if report.get("model") == LEARNED:
        rows = [[x, ", ".join(map(span, lives[x]))] for x in ("interest", "negative", "trend")]
        text = "<p>Learned; how much each one weighs depends on the user and on the moment.</p>"
        return "Half-lives", [text, table(["part", "half-lives"], rows)]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [span(s) for s in lives[name]],
            "y": weights[name],
            "marker": {"color": COLOURS[i]},
        }
        for i, name in enumerate(weights)
        if len(weights[name]) > 0
    ]
    ages = sorted({age for values in lives.values() for age in values})
    layout = {
        "barmode": "group",
        "xaxis": {"categoryarray": [span(s) for s in ages], "categoryorder": "array"},
    }
    note = (
        "<p>The score is a sum of parts, each with half-lives of its own. These are the weights "
        "that the bundle chose on the latest events before the split.</p>"
    )
    return "Half-lives", [note, figure(traces, "Weight of each half-life", layout)]


def _lives(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    parts: list[str | Figure] = []
    for i, life in enumerate(report.get("lives", [])):
        dates = [_date(ts) for ts in life["ts"]]
        traces: list[dict[str, Any]] = [
            {
                "type": "scatter",
                "mode": "lines",
                "stackgroup": "interests",
                "name": name,
                "x": dates,
                "y": shares,
                "line": {"width": 0.5, "color": COLOURS[j % len(COLOURS)]},
            }
            for j, (name, shares) in enumerate(life["categories"].items())
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "length of the query (right axis)",
                "x": dates,
                "y": life["length"],
                "yaxis": "y2",
                "line": {"color": INK, "width": 2, "dash": "dot"},
            }
        )
        last = _date(life["last_event"])
        line = {"type": "line", "x0": last, "x1": last, "y0": 0, "y1": 1, "yref": "paper"}
        layout = {
            "shapes": [{**line, "line": {"color": QUIET, "dash": "dash"}}],
            "yaxis2": {"overlaying": "y", "side": "right", "rangemode": "tozero"},
        }
        title = f"User {i + 1}: {life['n_events']:,} events; dashed line = the last one"
        parts.append(figure(traces, title, layout))
    if parts:
        note = (
            "<p>Categories that stand out among the items nearest to the query vector. After the "
            "last event the mix changes as short half-lives fade first.</p>"
        )
        parts.insert(0, note)
    return "Interests over time", parts


def _details(report: Mapping[str, Any]) -> tuple[str, list[str | Figure]]:
    kept = {k: v for k, v in report.items() if k not in ("lives", "strata", "new", "repeats")}
    text = html.escape(json.dumps(kept, indent=1, sort_keys=True, default=str))
    return "Run", [f"<details><summary>Settings and counts</summary><pre>{text}</pre></details>"]


def _bars(systems: Mapping[str, Any], title: str) -> Figure:
    names = sorted(systems, key=lambda name: _ndcg(systems, name))
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [_ndcg(systems, name) for name in names],
        "y": names,
        "error_x": _errors([systems[name]["ndcg"] for name in names]),
        "marker": {"color": [ACCENT if name == OURS else QUIET for name in names]},
    }
    return figure([trace], title, {"margin": {"l": 170}, "height": 60 + 34 * len(names)})


def _table(systems: Mapping[str, Any], k: int, comparisons: Mapping[str, Any]) -> str:
    metrics = list(next(iter(systems.values())))
    names = sorted(systems, key=lambda name: -_ndcg(systems, name))
    head = ["system", *(m if m == "auc" else f"{m}@{k}" for m in metrics), "Halflife less it", "p"]
    rows = []
    for name in names:
        versus = comparisons.get(name)
        told = ["", ""] if versus is None else [_spread(versus), f"{versus['p']:.3f}"]
        rows.append([name, *(_spread(systems[name][m]) for m in metrics), *told])
    return table(head, rows, OURS)


def _slate_table(slates: Mapping[str, Mapping[str, float]]) -> str:
    if len(slates) == 0:
        return ""
    head = ["system", *next(iter(slates.values()))]
    rows = [[name, *(f"{v:.3f}" for v in found.values())] for name, found in slates.items()]
    return "<h3>What the slates look like</h3>" + table(head, rows, OURS)


def _errors(intervals: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [i["high"] - i["mean"] for i in intervals],
        "arrayminus": [i["mean"] - i["low"] for i in intervals],
        "thickness": 1,
        "width": 3,
        "color": INK,
    }


def _ndcg(systems: Mapping[str, Any], name: str) -> float:
    return float(systems[name]["ndcg"]["mean"])


def _number(value: float) -> str:
    return f"{value:.4f}"


def _spread(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:.4f} [{interval['low']:.4f}, {interval['high']:.4f}]"


def _date(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M")
