"""Users of whom there is no event yet, by what they say and by who they are; and unproven items.

A cold user's first moment after the split is asked about, and what is right is all that they chose
from then on. They say which categories they want, in words of everyday: those in which what they
chose stands out most; and "no ..." to the most popular category that they never touched. Their
attributes are those that came with the log.

``cold_user_ndcg10``           NDCG@10 of trend and statement together
``cold_user_popular_ndcg10``   of the best popularity at the same moments

What there is to choose is chosen on users who were new before the split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.models import model_folder
from recsys.coldstart.options import ColdstartSettings, SegmentSettings, StatementSettings
from recsys.coldstart.reading import Reader, Statement, parse
from recsys.coldstart.segments import uncounted
from recsys.coldstart.told import Told
from recsys.coldstart.topics import Topics
from recsys.encoder.projection import fit_projection
from recsys.encoder.text import TextEncoder
from recsys.evaluation.baselines import POPULAR_WINDOWS_S
from recsys.evaluation.fitting import fit_weights
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.split import time_at_share
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.settings import Settings
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, ask
from recsys.slate import rank as ranked_of
from recsys.sources.gather import whole_catalog
from recsys.trend import TrendReplay
from tests.benchmarks.quality_parts.judged import against, best_of, bootstrap_of, table, values_of
from tests.benchmarks.quality_parts.material import Floats, Log, dataset
from tests.benchmarks.quality_parts.others import narrowed
from tests.benchmarks.quality_parts.systems import Content, Popular, System, rank, unit_text
from tests.benchmarks.slate_parts import optimism
from tests.benchmarks.slate_parts.newcomers import Newcomers, attributes_of, newcomers

Encode = Callable[[Sequence[str]], Floats]

EARLIER = 0.5
"""Share of the events after which those users are new on whom settings are chosen."""
SAID, SEGMENTS, BOTH = "statement", "segments", "statement and segments"
TREND, COSINE = "trend", "minilm-cosine"
STATEMENTS = tuple(
    StatementSettings(label=label, likeness=likeness)
    for label in (0.0, 1.0, 2.0, 3.0)
    for likeness in (0.0, 1.0, 2.0)
)
PRIORS = tuple(
    SegmentSettings(strength=strength, weight=weight)
    for strength in (300.0, 1_000.0, 3_000.0)
    for weight in (1.0, 2.0)
)
_LAST = np.float32(-1e9)


class FromTold:
    """Scores of a slate of somebody unknown, with what is told of them.

    Args:
        scene: everybody's events.
        shelf: of the same items.
        told: of each query.
    """

    def __init__(self, scene: Scene, shelf: Shelf, told: Sequence[Told]) -> None:
        self._shelf, self._told = shelf, told
        ones = np.ones(len(scene.ts))
        lives = scene.trend_half_lives_s
        self._trend = TrendReplay(scene.item, scene.ts, ones, scene.n_items, lives)

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``; what is left out stands behind all else."""
        self._trend.advance_to(as_of)
        evidence = Evidence(self._shelf.nobody, told=self._told[q])
        options = SlateOptions()
        asked = ask(self._shelf, evidence, self._trend.features(), as_of, options)
        n = len(asked.allowed)
        ranked = ranked_of(asked, whole_catalog(n), n)
        scores = np.full(n, _LAST)
        scores[ranked.rows] = ranked.scores
        return scores


@dataclass(frozen=True)
class Ground:
    """What cold users are served from, fitted on the events before a moment."""

    log: Log
    scene: Scene
    shelf: Shelf
    read: Reader
    encode: Callable[[Sequence[str]], Floats]
    attributes: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, log: Log, start: float, encode: Callable[[Sequence[str]], Floats]) -> Ground:
        """Fit to the events before ``start``.

        Raises:
            ValueError: if no item says anything.
        """
        if log.text is None:
            raise ValueError(f"no item of {log.name} says anything")
        known, settings = narrowed(log, start), log.settings
        projection = fit_projection(log.text[log.catalog.has_text], settings.encoder.n_dims)
        vectors = projection.project(log.text)
        vectors[~log.catalog.has_text] = 0.0
        weights, _ = fit_weights(known.events, vectors, log.catalog, settings)
        items, model = ItemTable.all_warm(vectors), ZeroShot(settings.interest, weights, projection)
        lives = settings.trend.half_lives_s
        scene = scene_of(log.events, log.positive, log.catalog, items, model, lives)
        attributes = attributes_of(log.name)
        begun = uncounted(attributes.items(), len(items), start, settings.coldstart.segments)
        segments = begun.counted([begun.count(known.events, settings.interest)])
        given = (settings.interest, settings.trend)
        shelf = Shelf(log.catalog, items, model, *given, segments=segments)
        options = settings.coldstart.statement
        topics = Topics(log.catalog, None, options.max_categories)
        read = Reader(topics, encode(topics.read_names), projection, options)
        return cls(log, scene, shelf, read, encode, attributes)

    def hear(self, texts: Sequence[str]) -> list[Statement]:
        """What is said, understood."""
        spoken = [parse(text, self.read.topics, self.read.options.max_clauses) for text in texts]
        vectors = iter(self.encode([text for one in spoken for text in one.texts]))
        return [
            self.read.understand(
                one, np.array([next(vectors) for _ in one.texts]), self.shelf.items.n_dims
            )
            for one in spoken
        ]

    def system(self, told: Sequence[Told], options: ColdstartSettings) -> System:
        """Slates with what is told, under some settings."""
        return FromTold(self.scene, replace(self.shelf, coldstart=options), told)


def run(name: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a public log; its items have categories, and its users attributes."""
    log = dataset(name, Settings())
    encoder = TextEncoder(model_folder(log.settings.encoder.model), log.settings.encoder)
    begin, split = time_at_share(log.events.ts, EARLIER), log.split_time

    def encode(texts: Sequence[str]) -> Floats:
        return np.asarray(encoder.encode(list(texts)), np.float32)

    options, tried = chosen(Ground.of(log, begin, encode), newcomers(log, begin, split))
    say(f"cold: chosen {tried['chosen']}")
    found = measured(Ground.of(log, split, encode), newcomers(log, split), options)
    return {**found, **tried, "optimism": optimism.run()}


def chosen(ground: Ground, new: Newcomers) -> tuple[ColdstartSettings, dict[str, Any]]:
    """The settings that are best for some users, and what was found."""
    said, who = told(ground, new)
    systems: dict[str, System] = {}
    for way in STATEMENTS:
        systems[_statement(way)] = ground.system(said, ColdstartSettings(statement=way))
    for prior in PRIORS:
        systems[_prior(prior)] = ground.system(who, ColdstartSettings(segments=prior))
    values = values_of(rank(ground.log, ground.scene, new.queries, systems))
    found = {name: round(float(value.mean()), 5) for name, value in values.items()}
    statement = max(STATEMENTS, key=lambda one: found[_statement(one)])
    segments = max(PRIORS, key=lambda one: found[_prior(one)])
    return ColdstartSettings(statement=statement, segments=segments), {
        "chosen": [_statement(statement), _prior(segments)],
        "n_earlier_users": len(new.texts),
        "earlier_ndcg10": found,
    }


def told(ground: Ground, new: Newcomers) -> tuple[list[Told], list[Told]]:
    """What cold users say, and who they are."""
    names = [ground.log.events.user_ids[user] for user in new.queries.user.tolist()]
    said = [Told(statement=one) for one in ground.hear(new.texts)]
    return said, [Told(attributes=ground.attributes.get(name)) for name in names]


def measured(ground: Ground, new: Newcomers, options: ColdstartSettings) -> dict[str, Any]:
    """NDCG@10 of cold users with what is told of them, of popularity and of likeness."""
    said, who = told(ground, new)
    both = [replace(one, attributes=by.attributes) for one, by in zip(said, who, strict=True)]
    wished = [Told(statement=_wished(one.statement)) for one in said]
    statement = options.statement
    systems: dict[str, System] = {
        SAID: ground.system(said, options),
        SEGMENTS: ground.system(who, options),
        BOTH: ground.system(both, options),
        TREND: ground.system([Told()] * len(said), options),
        COSINE: Content(ground.encode(new.texts), unit_text(ground.log)),
        **{name: Popular(ground.scene, span_s) for name, span_s in POPULAR_WINDOWS_S.items()},
    }
    for name, how, what in (
        ("statement without categories", {"label": 0.0}, said),
        ("statement without likeness", {"likeness": 0.0}, said),
        ("statement without what is not wished", {}, wished),
    ):
        fewer = options.model_copy(update={"statement": statement.model_copy(update=how)})
        systems[name] = ground.system(what, fewer)
    values = values_of(rank(ground.log, ground.scene, new.queries, systems))
    bootstrap = bootstrap_of(new.queries, ground.log.settings.evaluation)
    popular = best_of(values, list(POPULAR_WINDOWS_S))
    beside = [*POPULAR_WINDOWS_S, TREND, COSINE]
    return {
        "cold_user_ndcg10": round(float(values[SAID].mean()), 5),
        "cold_user_popular_ndcg10": round(float(values[popular].mean()), 5),
        "n_users": len(new.texts),
        "examples": new.texts[:5],
        "ndcg10": table(values, bootstrap),
        "against": {
            name: against(values, bootstrap, beside, name) for name in (SAID, SEGMENTS, BOTH)
        },
    }


def _wished(statement: Statement | None) -> Statement | None:
    """A statement without what is not wished."""
    if statement is None:
        return None
    kept = np.flatnonzero(statement.wished)
    heard = tuple(statement.heard[place] for place in kept.tolist())
    return Statement(heard, statement.directions[kept])


def _statement(said: StatementSettings) -> str:
    return f"label {said.label:g}, likeness {said.likeness:g}"


def _prior(prior: SegmentSettings) -> str:
    return f"strength {prior.strength:g}, weight {prior.weight:g}"
