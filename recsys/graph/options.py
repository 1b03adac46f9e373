"""Settings of the interest graph."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from recsys.section import Section, Share

_DAY_S = 86_400.0


class GraphSettings(Section):
    """The interest graph; fixed by a bundle."""

    use: bool = True
    """Whether bundles get one."""
    max_nodes: PositiveInt = 256
    """Most interests; how many there are is chosen by the data."""
    edge_half_life_s: PositiveFloat = 90 * _DAY_S
    """Seconds in which a passage from one interest to the next counts half."""
    short_half_life_s: PositiveFloat = 2 * _DAY_S
    """Half-life of a user's short mass of an interest."""
    long_half_life_s: PositiveFloat = 45 * _DAY_S
    """Half-life of a user's long mass of an interest."""
    temperature: Annotated[float, Field(gt=0.0)] = 0.25
    """``tau`` of the activation: the smaller, the less reaches interests of other directions."""
    spread: Share = 0.5
    """Share of an interest's weight that its neighbours get, before their likeness counts."""
    seed: int = 17
    """Of the clustering."""

    @property
    def longest_s(self) -> float:
        """Seconds in which any mixture of the short and the long mass has halved."""
        return max(self.short_half_life_s, self.long_half_life_s)
