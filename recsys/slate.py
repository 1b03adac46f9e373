"""The slate: query -> candidate sources -> ranking -> rerank steps -> the best items, explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.coldstart.told import not_wished
from recsys.eligibility import eligible, why_short
from recsys.ranker.scoring import added, personal, probabilities
from recsys.ranker.viewed import one_view
from recsys.ranking import Floats, interest_part, top_k, total, whole_interest_part
from recsys.reasons import Explain, Reason, explain
from recsys.reranking.base import Ranked, Step
from recsys.reranking.seen import still_seen
from recsys.retrieval import Retriever
from recsys.rules.applying import shortlist, wanted
from recsys.rules.compiled import BoundRules
from recsys.rules.steps import RULES, with_rules
from recsys.shelf import Evidence, Shelf
from recsys.sources.base import Asked, Bools, Rows, Source
from recsys.sources.gather import Candidates, also, gather, given, names_in, whole_catalog

Part = Literal["query", "candidates", "ranking", "rerank", "reasons"]

N_RANKED = 500
N_NEAR = 200
"""Items that the ranking model is asked about for the sake of its neighbours alone."""


class SlateItem(NamedTuple):
    """One place of a slate."""

    row: int
    item_id: str
    title: str
    rank: int
    score: float
    parts: dict[str, float]
    reason: Reason | None
    """None where none was asked for."""
    sources: list[str]
    """The sources that found it; ``all`` where the whole catalog was scored."""
    log_propensity: float | None = None
    """Where slates are drawn: log of the probability of the item here, given those before it."""
    rules: tuple[str, ...] = ()
    """Ids of the business rules that changed its score or place."""
    probability: float | None = None
    """The chance that the user chooses it next, by the ranking model; None = there is none."""


@dataclass(frozen=True)
class Slate:
    """An ordered answer, true at ``as_of``."""

    as_of: float
    items: list[SlateItem]
    reason: str | None = None
    """Why there are fewer items than were asked for; None = there are not."""


@dataclass(frozen=True)
class SlateOptions:
    """What a caller may choose."""

    k: int = 10
    exclude_seen: bool = True
    there: Bools | None = None
    """(N,) ``eligible`` at the moment, where it is known already."""
    candidates: npt.NDArray[np.integer[Any]] | None = None
    """Rows to choose from, whatever the sources say; None = what the sources find."""
    sources: Sequence[tuple[Source, int]] | None = None
    """Sources with how many items each may bring; None = the whole catalog, exactly."""
    retriever: Retriever | None = None
    """Of the sources that look for near items."""
    steps: Sequence[Step] = ()
    """What is done with the ranking; nothing = it is the slate."""
    n_ranked: int = N_RANKED
    """Items, best first, that the steps choose from."""
    seen_cooldown_s: float | None = None
    """Seconds after which seen items may come back; None = never."""
    diversity: float | None = None
    """In [0, 1], in place of what the settings of the steps say."""
    seed: int = 0
    """Of draws."""
    explain: Explain = "reason"
    rules: BoundRules | None = None
    """Business rules that count for the request."""


def make_slate(
    shelf: Shelf,
    evidence: Evidence,
    trend_features: Floats,
    as_of: float,
    options: SlateOptions,
    done: Callable[[Part], None] = lambda _: None,
) -> Slate:
    """Find candidates, score them, drop what may not be shown, rerank, and explain the best.

    Args:
        shelf: of the bundle.
        evidence: the profile at ``as_of``.
        trend_features: (N, Ht) log(1 + decayed popularity) at ``as_of``, of the whole catalog.
        as_of: Unix seconds.
        options: length, seen filter, sources, steps.
        done: told of each part as it ends.

    Returns:
        At most ``k`` items, best first; of equal scores the lower catalog row first.
    """
    asked = ask(shelf, evidence, trend_features, as_of, options)
    done("query")
    candidates = find(asked, options)
    done("candidates")
    is_cut_late = len(options.steps) > 0 or options.rules is not None or shelf.ranker is not None
    n = max(options.n_ranked, options.k) if is_cut_late else options.k
    ranked = rank(asked, candidates, n, options.rules)
    done("ranking")
    ranked = rerank(ranked, asked, options)
    done("rerank")
    shown = ranked.pick(np.arange(min(options.k, len(ranked))))
    told = {**shown.parts, "interest": _taste(shelf, shown), "trend": asked.trend}
    how = options.explain
    reasons = explain(shelf, evidence, trend_features, as_of, shown.rows, told, how)
    items = [_item(shelf, shown, place, reason) for place, reason in enumerate(reasons)]
    done("reasons")
    missing = len(items) < options.k
    return Slate(
        as_of,
        items,
        why_short(asked, candidates, ranked, options.k, options.rules) if missing else None,
    )


def ask(
    shelf: Shelf, evidence: Evidence, trend_features: Floats, as_of: float, options: SlateOptions
) -> Asked:
    """The question of a slate; arguments as of ``make_slate``."""
    there = options.there
    allowed = eligible(shelf, trend_features, as_of) if there is None else there.copy()
    if options.exclude_seen and len(evidence.seen) > 0:
        allowed[still_seen(evidence, as_of, options.seen_cooldown_s)] = False
    unwished = not_wished(evidence.told, shelf.items.directions, shelf.coldstart)
    if unwished is not None:
        allowed &= ~unwished
    asked = Asked(
        shelf,
        evidence,
        trend_features,
        as_of,
        allowed,
        options.retriever,
        options.diversity,
        options.seed,
    )
    return narrowed(asked, options.rules)


def narrowed(asked: Asked, rules: BoundRules | None) -> Asked:
    """A question without the items that rules take away."""
    return asked if rules is None else replace(asked, allowed=asked.allowed & rules.allowed())


def find(asked: Asked, options: SlateOptions) -> Candidates:
    """The candidates of a question."""
    if options.candidates is not None:
        return given(options.candidates)
    if options.sources is None:
        return whole_catalog(len(asked.allowed))
    found = gather(asked, options.sources)
    return found if options.rules is None else also(found, wanted(options.rules), RULES)


def rank(asked: Asked, candidates: Candidates, n: int, rules: BoundRules | None = None) -> Ranked:
    """The n best of the candidates that may be shown, as the ranking model has them.

    With rules, what these pin or ask for stays, and boosts count for who is among the best.
    """
    return _by_model(by_encoder(asked, candidates, n, rules), asked)


def by_encoder(
    asked: Asked, candidates: Candidates, n: int, rules: BoundRules | None = None
) -> Ranked:
    """What the ranking model is asked about, by the encoder's score; of equals the lower row first.

    The n best, and where the model has neighbours of its own, up to ``N_NEAR`` that are nearest.
    """
    rows = slice(None) if candidates.is_whole else candidates.rows  # a slice copies nothing
    vectors, items = asked.evidence.query.vectors[0], asked.shelf.items
    interest = (
        whole_interest_part(vectors, items)
        if candidates.is_whole
        else interest_part(vectors, items.vectors[rows])
    )
    found = {"interest": interest, "trend": asked.trend[rows]}
    for name, part in (("fresh", asked.fresh), ("neighbours", asked.neighbours)):
        if part is not None:
            found[name] = part[rows]
    found.update({name: part[rows] for name, part in asked.told.items()})
    scores = total(found)
    best = top_k(scores, asked.allowed[rows], min(n, len(scores)))
    if rules is not None:
        left = np.flatnonzero(asked.allowed[rows])
        near = left[shortlist(rules, candidates.rows[left], scores[left], n)]
        best = near[np.argsort(-scores[near], kind="stable")]
    asked_about = _with_near(best, asked, rows, scores)
    return Ranked(
        rows=candidates.rows[asked_about],
        scores=scores[asked_about],
        parts={name: values[asked_about] for name, values in found.items()},
        found_by=candidates.found_by[asked_about],
        source_names=candidates.names,
    )


def _with_near(best: Rows, asked: Asked, rows: Rows | slice, scores: Floats) -> Rows:
    """Places of candidates, with those of the nearest by the model's own neighbours."""
    ranker = asked.shelf.ranker
    if ranker is None or ranker.neighbours is None or asked.near is None:
        return best
    near = asked.near[rows]
    also_asked = np.union1d(best, top_k(near, asked.allowed[rows] & (near > 0.0), N_NEAR))
    return also_asked[np.argsort(-scores[also_asked], kind="stable")]


def _by_model(ranked: Ranked, asked: Asked) -> Ranked:
    """The same items as the ranking model has them; as they are where there is none."""
    ranker = asked.shelf.ranker
    if ranker is None or len(ranked) == 0:
        return ranked
    if not ranker.is_identity:
        items = (ranked.rows, asked.trend_features, ranked.parts)
        viewed = one_view(asked.shelf, asked.evidence, items, asked.as_of, ranker.options)
        more = {name: values[0] for name, values in added(ranker, viewed).items()}
        scores: Floats = ranked.scores + sum(more.values())
        ranked = replace(ranked, scores=scores, parts={**ranked.parts, **more})
        ranked = ranked.pick(np.argsort(-scores, kind="stable"))
    return replace(ranked, probability=probabilities(ranker, ranked.scores))


def rerank(ranked: Ranked, asked: Asked, options: SlateOptions) -> Ranked:
    """A ranking after every step."""
    for step in with_rules(options.steps, options.rules):
        ranked = step.apply(ranked, asked, options.k)
    return ranked


def _taste(shelf: Shelf, shown: Ranked) -> Floats:
    """(n,) the interest part with all that the ranking model adds for the user's own sake."""
    names = () if shelf.ranker is None else personal(shelf.ranker.options.features)
    more = [shown.parts[name] for name in names if name in shown.parts]
    taste: Floats = sum(more, shown.parts["interest"])
    return taste


def _item(shelf: Shelf, shown: Ranked, place: int, reason: Reason | None) -> SlateItem:
    row, odds, rules = int(shown.rows[place]), shown.log_propensity, shown.rules
    chance = shown.probability
    return SlateItem(
        row=row,
        item_id=shelf.catalog.item_ids[row],
        title=shelf.catalog.label(row),
        rank=place + 1,
        score=float(shown.scores[place]),
        parts={name: float(values[place]) for name, values in shown.parts.items()},
        reason=reason,
        sources=names_in(int(shown.found_by[place]), shown.source_names),
        log_propensity=None if odds is None else float(odds[place]),
        rules=() if rules is None else rules[place],
        probability=None if chance is None else float(chance[place]),
    )
