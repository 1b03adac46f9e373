"""The report's part on the composition: what each part gives, who is shown, what comes true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsys.evaluation.composition import ENCODER, FULL, RANKER, curve_names
from recsys.evaluation.report_page import COLOURS, QUIET, Figure, figure, table

Section = tuple[str, list[str | Figure]]

_TOLD = (ENCODER, RANKER, FULL)


def composition_section(found: Mapping[str, Any] | None) -> Section:
    """What ``measure_composition`` found; None = it was not asked for."""
    if not found:
        return "Composition", []
    note = (
        "<p>Slates from candidate sources, ranking model and rerank steps, with and without each. "
        "Differences are paired with the encoder alone, with 95% intervals over users.</p>"
    )
    parts: list[str | Figure] = [note, _variants(found["variants"]), _popularity(found["variants"])]
    if found.get("categories"):
        parts.append(_categories(found["categories"]))
    if found.get("chances"):
        parts.append(_reliability(found["chances"]))
    if found.get("ranker"):
        parts.append(_weights(found["ranker"]))
    return "Composition", parts


def _variants(variants: Mapping[str, Any]) -> str:
    curves = {name for names in curve_names().values() for name in names}
    rows = []
    for name, one in variants.items():
        if name in curves:
            continue
        less = one["less_first"]
        spread = f"{less['mean']:+.4f} [{less['low']:+.4f}, {less['high']:+.4f}]"
        seen = [f"{one[key]:.3f}" for key in ("diversity", "coverage")]
        rows.append([name, f"{one['ndcg']['mean']:.4f}", spread, *seen])
    return table(["variant", "NDCG", "less the encoder", "diversity", "coverage"], rows, FULL)


def _popularity(variants: Mapping[str, Any]) -> Figure:
    told = [name for name in _TOLD if name in variants]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [f"tenth {n + 1}" for n in range(len(variants[name]["exposure"]))],
            "y": variants[name]["exposure"],
            "marker": {"color": COLOURS[i]},
        }
        for i, name in enumerate(told)
    ]
    title = "Share of places by popularity of the items, the most popular tenth first"
    return figure(traces, title, {"barmode": "group"})


def _categories(categories: Mapping[str, Mapping[str, float]]) -> Figure:
    told = [name for name in ("catalog", "chosen", *_TOLD) if name in categories]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": list(categories[name]),
            "y": list(categories[name].values()),
            "marker": {"color": COLOURS[i % len(COLOURS)]},
        }
        for i, name in enumerate(told)
    ]
    title = "Share of places by category, beside the catalog and what was chosen"
    return figure(traces, title, {"barmode": "group"})


def _reliability(chances: Mapping[str, Any]) -> Figure:
    names = {"raw": "as the model says", "calibrated": "calibrated"}
    traces: list[dict[str, Any]] = []
    for i, (key, name) in enumerate(names.items()):
        bins = chances[key]["bins"]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name} (ECE {chances[key]['ece']:.4f})",
                "x": [one["said"] for one in bins],
                "y": [one["observed"] for one in bins],
                "text": [f"{one['n']:,} places" for one in bins],
                "marker": {"color": COLOURS[i]},
            }
        )
    most = max((trace["x"][-1] for trace in traces if trace["x"]), default=1.0)
    line = {"type": "line", "x0": 0, "y0": 0, "x1": most, "y1": most, "line": {"color": QUIET}}
    layout = {
        "shapes": [line],
        "xaxis": {"title": {"text": "said"}},
        "yaxis": {"title": {"text": "observed"}},
    }
    return figure(traces, "How often what is shown is chosen next", layout)


def _weights(ranker: Mapping[str, Any]) -> str:
    rows = [[name, f"{weight:+.3f}"] for name, weight in ranker["weights"].items()]
    how = f"<p>Ranking model: {ranker.get('chosen')}, alpha {ranker['alpha']['kind']}.</p>"
    return how + table(["feature", "weight per unit"], rows)
