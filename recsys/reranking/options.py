"""Settings of the rerank steps: which are taken, and a section for each.

Steps that change scores stand before those that choose an order, and what draws an order stands
last, for it says how probable its draw was.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from recsys.section import Section, Share

Stage = Literal["scores", "order", "draw"]
STAGES: tuple[Stage, ...] = ("scores", "order", "draw")

_DAY_S = 86_400.0


class StepSettings(Section):
    """Of one step."""

    stage: ClassVar[Stage] = "order"
    """What the step changes."""


class FatigueSettings(StepSettings):
    """Items that were shown again and again without an answer lose."""

    stage = "scores"
    discount: NonNegativeFloat = 0.0
    """Lambda: n unanswered impressions take ``lambda n`` from a score, so ``exp(-lambda n)`` of
    the odds; ``recsys.evaluation.fatigue`` fits it to a log with impressions. 0 = none."""
    half_life_s: PositiveFloat = 7 * _DAY_S
    """In which an impression halves."""


class FreshnessSettings(StepSettings):
    """Young items are lifted, by so much at most."""

    stage = "scores"
    lift: NonNegativeFloat = 0.5
    """What an item that is just born gains, in standard deviations of the ranked scores."""
    half_life_s: PositiveFloat = 3 * _DAY_S
    """Age at which half of it is left."""


class CapsSettings(StepSettings):
    """At most so many items of one kind."""

    per_category: PositiveInt | None = None
    """Items of a slate that share a category; None = any number."""
    per_provider: PositiveInt | None = None
    """Items of a slate that share a provider; None = any number."""
    provider: str = "provider"
    """The attribute of items that names their provider."""


class MmrSettings(StepSettings):
    """Maximal marginal relevance: no item like those before it."""

    diversity: Share = 0.3
    """0 = the ranking, 1 = only unlikeness counts; a request may give its own."""


class DppSettings(StepSettings):
    """A determinantal point process: items that span much together."""

    diversity: Share = 0.3
    """0 = the ranking, 1 = only the determinant counts; a request may give its own."""


class SwapSettings(StepSettings):
    """Items at the low places give way to unlike ones, for a stated price."""

    cost: Share = 0.01
    """Share of the slate's expected DCG that variety may cost; a request's ``diversity`` stands for
    it. 0 = the ranking."""


class CalibrateSettings(StepSettings):
    """A slate keeps the proportions of the user's interests."""

    weight: Share = 0.5
    """0 = the ranking, 1 = only the proportions count."""
    half_life_s: PositiveFloat = 14 * _DAY_S
    """In which a recent event halves in the user's proportions."""
    smoothing: Share = 0.01
    """Share of the user's own proportions in those of the slate: it keeps the divergence finite."""


class SampleSettings(StepSettings):
    """Slates are drawn, with known probabilities."""

    stage = "draw"
    temperature: PositiveFloat = 0.3
    """In standard deviations of the scores drawn from: near 0 = the ranking, large = any order."""
    n_pool: PositiveInt = 100
    """The first so many items are drawn from; at least the slate's length."""


class RerankingSettings(Section):
    """From a ranking to a slate; without steps the slate is the ranking."""

    steps: tuple[str, ...] = ()
    """Steps in their order, each with a section of its name here."""
    seen_cooldown_s: PositiveFloat | None = None
    """Seconds after its last touch at which a seen item may come back; None = never."""
    fatigue: FatigueSettings = FatigueSettings()
    """What was shown again and again without an answer loses."""
    freshness: FreshnessSettings = FreshnessSettings()
    """Young items are lifted."""
    caps: CapsSettings = CapsSettings()
    """At most so many items of a category or provider."""
    calibrate: CalibrateSettings = CalibrateSettings()
    """The proportions of the user's interests are kept."""
    mmr: MmrSettings = MmrSettings()
    """Maximal marginal relevance."""
    dpp: DppSettings = DppSettings()
    """A determinantal point process."""
    swap: SwapSettings = SwapSettings()
    """The most variety for a stated price."""
    sample: SampleSettings = SampleSettings()
    """Slates are drawn, and say how probable they were."""

    @model_validator(mode="after")
    def _steps_exist_in_order(self) -> Self:
        known = step_names()
        for name in self.steps:
            if name not in known:
                raise ValueError(f"{name} is no rerank step; there are {', '.join(known)}")
        if len(set(self.steps)) < len(self.steps):
            raise ValueError("a rerank step is named twice")
        for before, after in pairwise(self.steps):
            if STAGES.index(self.stage(before)) > STAGES.index(self.stage(after)):
                a, b = self.stage(before), self.stage(after)
                raise ValueError(f"{after} changes the {b}: it must stand before {before} ({a})")
        return self

    def stage(self, name: str) -> Stage:
        """What a step changes."""
        section: StepSettings = getattr(self, name)
        return section.stage

    def with_diversity(self) -> RerankingSettings:
        """These settings, with ``mmr`` among the steps where none diversifies."""
        if {"mmr", "dpp", "swap"} & set(self.steps):
            return self
        draws = [name for name in self.steps if self.stage(name) == "draw"]
        others = [name for name in self.steps if self.stage(name) != "draw"]
        return self.model_copy(update={"steps": (*others, "mmr", *draws)})


def step_names() -> tuple[str, ...]:
    """Every step that there is, in the order of the sections."""
    fields = RerankingSettings.model_fields.items()
    return tuple(name for name, field in fields if _is_section(field.annotation))


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, StepSettings)
