"""Settings of the ranking model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, PositiveFloat, PositiveInt

from recsys.ranker.names import check_features
from recsys.section import Section

_DAY_S = 86_400.0

AlphaKind = Literal["fixed", "scheduled", "predicted"]


class RankerSettings(Section):
    """The model on top of the encoder's score; a bundle keeps those that it was fitted with."""

    kind: Literal["none", "linear"] = "linear"
    """``linear``: bundles get one, fitted on the validation tail, and slates are ranked by it;
    ``none``: the encoder's score stands. A process may set ``none`` for a bundle that has one."""
    features: Annotated[tuple[str, ...], AfterValidator(check_features)] = (
        "short_taste",
        "long_taste",
        "strongest",
        "graph",
        "category",
        "cooccurrence",
        "crowd",
        "rising",
        "age",
        "fatigue",
    )
    """What is read of each item beside the encoder's score: files of ``recsys.ranker.features``."""
    alpha: AlphaKind = "fixed"
    """Share of the long taste in the user's own: the same for all, ``scheduled`` by the time since
    the latest event, or ``predicted`` from the profile."""
    short_half_life_s: PositiveFloat = 2 * _DAY_S
    """Half-life of the short taste, and in which an unanswered impression halves."""
    long_half_life_s: PositiveFloat = 45 * _DAY_S
    """Half-life of the long taste, of interests and of categories."""
    confidence_mass: PositiveFloat = 1.0
    """Mass of events at which half the confidence in a taste is reached."""
    fit_neighbours: bool = True
    """Whether ``cooccurrence`` reads neighbours that are fitted for it, else those of the encoder's
    score."""
    follow: bool = False
    """Whether gateways take the weights that ``python -m pipelines.adapt`` moves by feedback."""
    learning_rate: PositiveFloat = 0.1
    """Of a step by feedback."""
    max_step: PositiveFloat = 0.02
    """Most that one step moves a weight, in spreads of its feature."""
    max_move: PositiveFloat = 0.5
    """Most that all steps together move it away from where it was fitted."""
    answer_window_s: PositiveFloat = 3_600.0
    """Seconds within which an act on a shown item is an answer to its slate."""
    min_queries: PositiveInt = 200
    """Fewer questions of the tail than this fit nothing."""
    max_events: PositiveInt = 20_000_000
    """A job that would have to hold more events than this to fit the model leaves it out."""
