"""A picture of interest: one HTML file that shows what a model has learned about forgetting.

Half-lives beside where they began, how much an event of each kind weighs in each of them, how that
fades, what a user's silence does to the query, and how training went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.evaluation.report_page import (
    ACCENT,
    COLOURS,
    INK,
    MINUTE_S,
    QUIET,
    Figure,
    cards,
    curve,
    figure,
    page,
    plain,
    span,
    time_axis,
)
from recsys.graph.interest_graph import InterestGraph
from recsys.interest.learned import LearnedInterest
from recsys.interest.model import FoldBatch, ItemTable
from recsys.settings import DAY_S, Settings
from recsys.training.picture_course import Course, course_sections
from recsys.training.picture_graph import graph_section
from recsys.training.picture_readings import (
    Example,
    Floats,
    Later,
    examples,
    importances,
    later,
    profile_of,
    remaining,
)

Part = tuple[str, list[str | Figure]]

LATEST_S = 90 * DAY_S
_N_POINTS = 120


@dataclass(frozen=True)
class Subject:
    """Who sits for the picture."""

    model: LearnedInterest
    settings: Settings
    """With the learned half-lives in ``interest``, as a bundle has them."""
    items: ItemTable
    typical: FoldBatch
    """Events of one typical user; ``picture_readings.typical_events`` finds some."""
    began_s: tuple[float, ...] = ()
    """(H,) where positive half-lives began, rising; empty = not known."""
    negative_began_s: tuple[float, ...] = ()
    """(Hn,) where negative half-lives began."""


def picture(
    subject: Subject, course: Course, plotly_js: str, graph: InterestGraph | None = None
) -> str:
    """The picture as HTML that needs nothing beside it.

    Args:
        subject: the learned model, its items and a typical user.
        course: history and figures; what is not there is left out.
        plotly_js: the source of plotly.js, put inside.
        graph: the interests of the catalog; None = there are none.
    """
    sections = [
        _headline(subject, course),
        _half_lives(subject),
        *_kinds(subject),
        _silence(subject),
        graph_section(graph),
        *course_sections(course),
    ]
    return page("Halflife: a picture of interest", sections, plotly_js)


def _headline(subject: Subject, course: Course) -> Part:
    interest, quality = subject.settings.interest, course.quality
    lives = interest.half_lives_s
    tiles = [
        ("half-lives of interest", f"{span(lives[0])} to {span(lives[-1])}"),
        ("half-lives of dislike", ", ".join(map(span, interest.negative_half_lives_s))),
        ("items, of which with events", f"{len(subject.items):,}, {subject.items.warm.sum():,}"),
    ]
    if quality.get("ndcg10") is not None:
        tiles.append(("NDCG@10 on the validation tail", f"{quality['ndcg10']:.4f}"))
    if quality.get("stale_share") is not None:
        tiles.append(("share of virtual cutoffs, chosen", f"{quality['stale_share']:g}"))
    if quality.get("n_epochs") is not None:
        tiles.append(("epochs", str(quality["n_epochs"])))
    return "", [cards(tiles)]


def _half_lives(subject: Subject) -> Part:
    interest = subject.settings.interest
    banks = (
        ("interest", interest.half_lives_s, subject.began_s),
        ("dislike", interest.negative_half_lives_s, subject.negative_began_s),
    )
    names = [f"{bank} {n + 1}" for bank, lives, _ in banks for n in range(len(lives))]
    lives = [life for _, some, _ in banks for life in some]
    layout = {
        "xaxis": time_axis("half-life"),
        "yaxis": {"autorange": "reversed", "type": "category"},
        "margin": {"l": 90},
        "height": 140 + 26 * len(names),
    }
    kernel = subject.settings.model.kernel
    if kernel != "exponential":
        law = kernel.replace("_", " ")
        note = f"<p>Half-lives are fixed. Weighed, each bank forgets by one law: {law}.</p>"
        traces = [_points("fixed", lives, names, ACCENT)]
        return "Half-lives", [note, figure(traces, "Half-lives", layout)]
    traces = [_points("learned", lives, names, ACCENT)]
    if all(len(began) == len(some) for _, some, began in banks):
        began = [life for _, _, some in banks for life in sorted(some)]
        traces = _beginnings(began, lives, names) + traces
    note = (
        "<p>Half-lives begin at quantiles of the log's own gaps between events and are then "
        "learned with everything else. Both are drawn in rising order.</p>"
    )
    return "Half-lives", [note, figure(traces, "Learned half-lives", layout)]


def _beginnings(began: list[float], learned: list[float], names: list[str]) -> list[dict[str, Any]]:
    """Where half-lives began, and a line to where they are now."""
    between: dict[str, list[Any]] = {"x": [], "y": []}
    for name, old, new in zip(names, began, learned, strict=True):
        between["x"] += [old, new, None]
        between["y"] += [name, name, None]
    line = {"mode": "lines", "line": {"color": QUIET, "width": 2}, "showlegend": False}
    lines = {"type": "scatter", **line, **between, "hoverinfo": "skip"}
    return [lines, _points("where it began", began, names, QUIET)]


def _kinds(subject: Subject) -> list[Part]:
    """How much an event of each kind weighs, and how it fades."""
    interest, kinds = subject.settings.interest, subject.settings.data.kinds
    shown = examples(subject.model, interest, kinds, subject.typical)
    weight = importances(subject.model, subject.items, shown)
    n_good = len(interest.half_lives_s)
    bars, curves = [], [_each_half_life(subject)]
    for title, bank, lives, bad in (
        ("Interest", slice(None, n_good), interest.half_lives_s, False),
        ("Dislike", slice(n_good, None), interest.negative_half_lives_s, True),
    ):
        rows = [n for n, example in enumerate(shown) if example.is_negative == bad]
        if rows:
            of_bank = [shown[n] for n in rows], weight[rows, bank], lives
            bars.append(_bars(title, *of_bank))
            curves.append(_mixtures(title, *of_bank))
    note = (
        "<p>Importance of one event in each half-life, the mean over items: an event moves those "
        f"half-lives most in which it weighs most (at most {interest.max_importance:g}).</p>"
    )
    fading = (
        "<p>Each half-life alone, and what is left of one event in all of them together, weighed "
        "by its importance: steep at first, and with a long tail.</p>"
    )
    said: list[str | Figure] = [note, *bars] if bars else []
    return [("Importance by kind of event", said), ("Decay", [fading, *curves])]


def _bars(title: str, shown: Sequence[Example], weight: Floats, lives: Sequence[float]) -> Figure:
    names = _names(lives)
    traces = [
        {
            "type": "bar",
            "name": example.label,
            "x": names,
            "y": plain(row),
            "marker": {"color": COLOURS[n % len(COLOURS)]},
        }
        for n, (example, row) in enumerate(zip(shown, weight, strict=True))
    ]
    axis = {"type": "category", "title": {"text": "half-life"}}
    return figure(traces, f"{title}: importance", {"barmode": "group", "xaxis": axis})


def _each_half_life(subject: Subject) -> Figure:
    interest = subject.settings.interest
    age = _ages(interest.half_lives_s)
    traces = [
        curve(span(life), age, np.exp2(-age / life), n)
        for n, life in enumerate(interest.half_lives_s)
    ]
    return figure(traces, "Each half-life of interest", {"xaxis": time_axis("age of the event")})


def _mixtures(
    title: str, shown: Sequence[Example], weight: Floats, lives: Sequence[float]
) -> Figure:
    age = _ages(lives)
    traces = [
        curve(example.label, age, remaining(row, lives, age), n)
        for n, (example, row) in enumerate(zip(shown, weight, strict=True))
    ]
    whole = f"{title}: what is left of one event"
    return figure(traces, whole, {"xaxis": time_axis("age of the event")})


def _silence(subject: Subject) -> Part:
    settings, items = subject.settings, subject.items
    interest = settings.interest
    events = subject.typical
    banks = profile_of(subject.model, items, interest, settings.data.kinds, events)
    gap = np.concatenate([[0.0], np.geomspace(MINUTE_S, LATEST_S, _N_POINTS)])
    found = later(subject.model, items, interest, banks, gap)
    note = (
        f"<p>A typical user ({len(events.ts):,} events) after the last one, with no further event. "
        "The left edge is the moment itself.</p>"
    )
    sure = zip(_names(interest.half_lives_s), found.confidence.T, strict=True)
    return "As time goes by", [
        note,
        _waiting("Confidence in each half-life", found, list(sure)),
        _waiting("Spread of the interest part over items", found, [("interest", found.spread)]),
        _waiting("Weights of trend, items with events", found, _trends(settings, found.warm_trend)),
        _waiting(
            "Weights of trend, items without events in training",
            found,
            [*_trends(settings, found.cold_trend), ("offset", found.cold_offset)],
        ),
    ]


def _trends(settings: Settings, weights: Floats) -> list[tuple[str, Floats]]:
    return list(zip(_names(settings.trend.half_lives_s), weights.T, strict=True))


def _waiting(title: str, found: Later, lines: Sequence[tuple[str, Floats]]) -> Figure:
    gap = np.maximum(found.gap_s, MINUTE_S / 2.0)  # a logarithmic axis has no zero
    traces = [curve(name, gap, values, n) for n, (name, values) in enumerate(lines)]
    return figure(traces, title, {"xaxis": time_axis("since the last event")})


def _points(name: str, x: list[float], y: list[str], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "text": [span(life) for life in x],
        "hoverinfo": "text+name",
        "marker": {"color": colour, "size": 11, "line": {"color": INK, "width": 1}},
    }


def _names(lives: Sequence[float]) -> list[str]:
    """One name for each half-life, different even where they are nearly the same."""
    names = [span(life) for life in lives]
    return [f"{name} #{n + 1}" if names.count(name) > 1 else name for n, name in enumerate(names)]


def _ages(lives: Sequence[float]) -> Any:
    return np.geomspace(min(MINUTE_S, lives[0]), 4.0 * lives[-1], _N_POINTS)
