"""What sections of the settings are made of: an immutable base and ranged types."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) == 0 or any(b <= a for a, b in pairwise(values)):
        raise ValueError("half-lives must be positive and strictly rising")
    return values


HalfLives = Annotated[tuple[PositiveFloat, ...], AfterValidator(_rising)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the settings: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
