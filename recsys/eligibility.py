"""Which items a slate may show, and why there are fewer than were asked for."""

from __future__ import annotations

from recsys.coldstart.told import not_wished
from recsys.ranking import Floats
from recsys.reranking.base import Ranked
from recsys.rules.compiled import BoundRules
from recsys.shelf import Shelf
from recsys.sources.base import Asked, Bools
from recsys.sources.gather import Candidates


def eligible(shelf: Shelf, trend_features: Floats, as_of: float) -> Bools:
    """(N,) items that can be had at ``as_of`` and of which anything is known: text or an event."""
    known = shelf.catalog.has_text | trend_features.any(axis=1)
    result: Bools = shelf.catalog.available(as_of) & known
    return result


def why_short(
    asked: Asked, candidates: Candidates, ranked: Ranked, k: int, rules: BoundRules | None
) -> str:
    """Where the items went that would have made the slate as long as was asked for."""
    there = eligible(asked.shelf, asked.trend_features, asked.as_of)
    said = [f"of {len(there)} items {int(there.sum())} can be had now and are known"]
    if rules is not None:
        n_there = int(there.sum())
        there &= rules.allowed()
        hidden = n_there - int(there.sum())
        if hidden > 0:
            names = ", ".join(rules.hiding)
            said.append(f"{hidden} of these are filtered by the rules {names}")
    unwished = not_wished(asked.evidence.told, asked.shelf.items.directions, asked.shelf.coldstart)
    if unwished is not None and bool((there & unwished).any()):
        said.append(f"{int((there & unwished).sum())} of these are not wished")
        there &= ~unwished
    n_seen = int(there.sum() - asked.allowed.sum())
    if n_seen > 0:
        said.append(f"{n_seen} of these were seen")
    if not candidates.is_whole:
        n_found = int(asked.allowed[candidates.rows].sum())
        said.append(f"{n_found} of the rest are candidates ({', '.join(candidates.names)})")
    n_shown = min(k, len(ranked))
    return f"{n_shown} of {k}: {'; '.join([*said, *ranked.notes])}"
