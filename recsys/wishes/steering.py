"""What wishes do to a slate: the evidence that does not speak, and the items that stay away.

    mute     its events do not weigh, its items are not shown
    forget   its events up to that moment do not weigh, its items are not shown before the user
             turned to it again
    boost    scores of its items times a factor (below 0: divided by it)
    pin      at least one place of the slate, if there is anything of it to show

Events that do not weigh are folded out of the state, as if they had not happened, as far as the
profile keeps them one by one; what still older events left there fades with its half-lives. Where
nothing that speaks is left, the user counts as nobody, so that the slate is what is trending.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.graph.interest_graph import InterestGraph
from recsys.interest.contributions import without_some
from recsys.interest.model import FoldBatch
from recsys.shelf import Evidence, Shelf
from recsys.wishes.matching import Wished

Bools = npt.NDArray[np.bool_]

ALL_MUTED = "all interests are muted: what is trending is shown instead"


@dataclass(frozen=True)
class Steered:
    """A user's evidence as their wishes leave it."""

    evidence: Evidence
    away: tuple[int, ...]
    """Nodes of which nothing is shown, rising."""
    note: str | None = None
    """What the reply says of it."""


def steered(shelf: Shelf, evidence: Evidence, wished: Wished, as_of: float) -> Steered:
    """Apply wishes to evidence.

    Args:
        shelf: of a bundle with a graph.
        evidence: of the user.
        wished: by the nodes of that graph.
        as_of: Unix seconds.
    """
    graph = shelf.graph
    assert graph is not None, "without a graph no wish has a node"
    away = away_nodes(evidence, wished, graph)
    speaks = ~silenced(evidence, wished, graph, muted=True)
    good = np.asarray(evidence.recent_importance) > 0.0
    is_everything = bool(np.isin(np.flatnonzero(graph.sizes > 0), away).all())
    if is_everything or (good.any() and not (good & speaks).any()):
        nobody = replace(_only(evidence, np.zeros_like(speaks)), query=shelf.nobody, banks=None)
        nobody = replace(nobody, mass_now=None, behind=None)
        return Steered(nobody, () if is_everything else away, ALL_MUTED)
    if speaks.all():
        return Steered(evidence, away)
    return Steered(_folded_out(shelf, evidence, speaks, as_of), away)


def remembered(evidence: Evidence, wished: Wished, graph: InterestGraph) -> Evidence:
    """Evidence without the recent events of what was forgotten; the state is as it was."""
    speaks = ~silenced(evidence, wished, graph, muted=False)
    return evidence if speaks.all() else _only(evidence, speaks)


def silenced(evidence: Evidence, wished: Wished, graph: InterestGraph, muted: bool) -> Bools:
    """(R,) recent events that do not weigh.

    Args:
        evidence: of the user.
        wished: by the nodes of the graph.
        graph: of the same catalog.
        muted: whether those of muted interests are among them.
    """
    node = _node(evidence, graph)
    found = np.zeros(len(node), np.bool_)
    for a, wish in wished.by_node.items():
        if muted and wish.is_muted:
            found |= node == a
        elif wish.forgotten_at is not None:
            found |= (node == a) & (evidence.recent_ts <= wish.forgotten_at)
    return found


def away_nodes(evidence: Evidence, wished: Wished, graph: InterestGraph) -> tuple[int, ...]:
    """Nodes of which nothing is shown: muted, or forgotten and not turned to since."""
    node = _node(evidence, graph)
    good = np.asarray(evidence.recent_importance) > 0.0
    found = []
    for a, wish in sorted(wished.by_node.items()):
        at = wish.forgotten_at
        is_wanted = wish.is_pinned or wish.boost is not None
        is_gone = at is not None and not is_wanted
        if is_gone and at is not None:
            is_gone = not bool(((node == a) & good & (evidence.recent_ts > at)).any())
        if wish.is_muted or is_gone:
            found.append(a)
    return tuple(found)


def _node(evidence: Evidence, graph: InterestGraph) -> npt.NDArray[np.int64]:
    item = np.asarray(evidence.recent_item, np.int64)
    found: npt.NDArray[np.int64] = np.where(item >= 0, np.append(graph.node, -1)[item], -1)
    return found


def _only(evidence: Evidence, kept: Bools) -> Evidence:
    """With some of the recent events only."""
    n_kinds = len(evidence.recent_kind)
    return replace(
        evidence,
        recent_item=np.asarray(evidence.recent_item)[kept],
        recent_ts=np.asarray(evidence.recent_ts)[kept],
        recent_importance=np.asarray(evidence.recent_importance)[kept],
        recent_kind=evidence.recent_kind[kept] if n_kinds > 0 else evidence.recent_kind,
        recent_value=evidence.recent_value[kept] if n_kinds > 0 else evidence.recent_value,
    )


def _folded_out(shelf: Shelf, evidence: Evidence, speaks: Bools, as_of: float) -> Evidence:
    left = _only(evidence, speaks)
    if evidence.banks is None or len(evidence.recent_kind) != len(speaks):
        return left
    behind = evidence.behind
    text = None if behind is None else behind.recent_text
    recent = FoldBatch(
        np.asarray(evidence.recent_item, np.int32),
        np.asarray(evidence.recent_ts, np.float64),
        evidence.recent_kind,
        np.asarray(evidence.recent_value, np.float64),
        text,
    )
    lives = (*shelf.interest.half_lives_s, *shelf.interest.negative_half_lives_s)
    rest = (None, None) if behind is None else (behind.banks, behind.texts)
    banks = without_some(shelf.model, shelf.items, evidence.banks, recent, lives, speaks, *rest)
    if behind is not None:
        behind = replace(behind, recent_text=None if text is None else text[speaks])
    return replace(
        left, query=shelf.model.query(banks, as_of), banks=banks, behind=behind, mass_now=None
    )
