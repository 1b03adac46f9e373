"""Settings of the cold start; each idea has a section, and a weight of 0 switches it off."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from recsys.section import Section, Share

_DAY_S = 86_400.0


class StatementSettings(Section):
    """What users say they want, and do not want."""

    label: NonNegativeFloat = 2.0
    """What an item gains that has all the categories or interests that are wished for."""
    likeness: NonNegativeFloat = 1.0
    """What an item gains per unit of cosine with the wished clauses, in the mean."""
    against: NonNegativeFloat = 1.0
    """What an item loses per unit of cosine with an unwished clause, the nearest one."""
    understood_from: Share = 0.5
    """Cosine of a clause and the name of a category from which the one means the other."""
    filtered_from: Share = 0.6
    """The same of an unwished clause: items of such a category are left out; and items that are
    themselves as near to the clause as ``filtered_likeness``."""
    filtered_likeness: Share = 0.75
    """Cosine of an item and an unwished clause from which the item is left out."""
    max_clauses: PositiveInt = 16
    """Most clauses that are read; what is said after them is passed over."""
    max_categories: PositiveInt = 1_000
    """Most categories, those of most items, whose names the encoder reads to understand clauses."""


class SegmentSettings(Section):
    """What users with the same attributes choose; the counts are fixed by a bundle."""

    weight: NonNegativeFloat = 2.0
    """Of the log of how much likelier an item is in a user's segments than in the population, in
    the mean over attributes, for a user of whom nothing else is known."""
    fades_at: PositiveFloat = 3.0
    """Items that a user has touched at which half the weight is left."""
    strength: PositiveFloat = 1_000.0
    """Events of the population that are added to those of a segment: the more, the less it says."""
    half_life_s: PositiveFloat = 120 * _DAY_S
    """In which an event of a segment counts half; fixed by a bundle."""
    min_users: PositiveInt = 20
    """Values of attributes that fewer users share are no segment; fixed by a bundle."""
    attributes: tuple[str, ...] | None = None
    """Attributes of users that make segments; None = all. Fixed by a bundle."""


class FollowSettings(Section):
    """What those did of late whom a user follows."""

    weight: NonNegativeFloat = 0.5
    """Of the log of 1 + the decayed number of positive events of followed users on an item."""
    half_life_s: PositiveFloat = 14 * _DAY_S
    """In which such an event counts half."""
    max_followed: PositiveInt = 32
    """Most followed users that are looked at, the first ones named."""


class OptimismSettings(Section):
    """The benefit of the doubt for items that are new and that few have chosen.

    Where a model weighs the age of items itself, as learned ones do, there is none.
    """

    weight: NonNegativeFloat = 2.0
    """What an item gains that was just born and that nobody has chosen yet."""
    half_life_s: PositiveFloat = 3 * _DAY_S
    """Age at which half of it is left."""
    half_exposure: PositiveFloat = 5.0
    """Decayed events, at the longest half-life of the trend, at which half of it is left."""


class ColdstartSettings(Section):
    """Users of whom little is known, and new items."""

    max_known_users: PositiveInt = 1_000_000
    """Most users whose stored attributes a gateway keeps in memory; of more it keeps none, and
    knows what comes with requests."""
    statement: StatementSettings = StatementSettings()
    """What users say."""
    segments: SegmentSettings = SegmentSettings()
    """What those alike choose."""
    follows: FollowSettings = FollowSettings()
    """What those do whom they follow."""
    optimism: OptimismSettings = OptimismSettings()
    """What new items get in advance."""
