"""Rules as they are written: JSON in, sound rules out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from recsys.errors import RuleError
from recsys.section import Section
from recsys.store import DIGEST_CHARS, digest

MAX_RULES = 200
MAX_DESCRIPTION = 1_000


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)  # pydantic tells of its ValueError
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Moment = Annotated[float, BeforeValidator(_seconds), Field(ge=-62_135_510_400, le=253_402_128_000)]
"""Unix seconds; ISO 8601 is read too (UTC where it has no offset)."""


class _Part(Section):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Filter(_Part):
    """Items of which ``when`` holds are not shown."""

    type: Literal["filter"]


class Availability(_Part):
    """Only items of which ``when`` holds are shown; what cannot be said does not hold."""

    type: Literal["availability"]


class Pin(_Part):
    """The best item of which ``when`` holds stands at a place."""

    type: Literal["pin"]
    place: Annotated[int, Field(ge=1, le=500)]
    """From 1."""


class Quota(_Part):
    """How many places of a slate go to items of which ``when`` holds: one of the two."""

    type: Literal["quota"]
    at_most: NonNegativeInt | None = None
    at_least: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give at_most or at_least; for both write two rules")
        return self


class Boost(_Part):
    """Scores of items of which ``when`` holds are changed: one of the two."""

    type: Literal["boost"]
    multiply: Annotated[float, Field(ge=0.1, le=10.0)] | None = None
    """The score times this; a score below 0 is divided by it, so that above 1 is always up."""
    add: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """In units of the distance between the best and the least candidate's score."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.multiply is None) == (self.add is None):
            raise ValueError("give multiply or add; for both write two rules")
        return self


class Bury(_Part):
    """Items of which ``when`` holds stand behind all others."""

    type: Literal["bury"]


Action = Annotated[Filter | Availability | Pin | Quota | Boost | Bury, Field(discriminator="type")]


class Rule(_Part):
    """One rule."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Names it in slates, warnings and errors."""
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    """Why there is such a rule."""
    when: str
    """A CEL expression that is true or false. It may read ``item.item_id``, ``title``,
    ``categories``, ``attributes`` (texts by name), ``available_from``, ``available_until``,
    ``created_at`` (times) and ``age_days``; ``user.is_known`` and ``user.attributes``;
    ``context.now`` and whatever else the request says. Where a name is missing, it does not hold;
    ``has(item.attributes.brand)`` asks first."""
    action: Action
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    """Of two rules of one kind that cannot both have their way, the higher one has it."""
    active_from: Moment | None = None
    """Unix seconds or ISO 8601; None = always was."""
    active_until: Moment | None = None
    """The moment at which it no longer counts; None = for ever."""
    enabled: bool = True
    """False: kept, and not used."""

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        start, end = self.active_from, self.active_until
        if start is not None and end is not None and end <= start:
            raise ValueError("active_until is not after active_from, so it never counts")
        return self

    def is_active(self, now: float) -> bool:
        """Whether it counts at a moment (Unix seconds)."""
        starts = self.active_from is None or self.active_from <= now
        return self.enabled and starts and (self.active_until is None or now < self.active_until)


class RuleSet(_Part):
    """All rules of a tenant."""

    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES, strict=False)] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"two rules have the id {rule.id}; give each its own")
            seen.add(rule.id)
        return self

    @property
    def content(self) -> bytes:
        """The same bytes for the same rules; defaults are left out, so that new fields may come."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(said, sort_keys=True, indent=1).encode()

    @property
    def version(self) -> str:
        """Of equal rules it is equal."""
        return digest(self.content)[:DIGEST_CHARS]


def read_rules(raw: Any) -> RuleSet:
    """Rules from parsed JSON: ``{"rules": [...]}``.

    Raises:
        RuleError: if they are not sound; it names the rule and the field.
    """
    try:
        return RuleSet.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RuleError(
            _named(raw, first["loc"]), f"is refused: {first['msg']}", _REMEDY
        ) from error


_REMEDY = "GET /openapi.json has the fields of a rule, and what each may be"


def _named(raw: Any, place: Sequence[str | int]) -> str:
    """The rule, by its id where it has one, and the field."""
    if len(place) < 2 or place[0] != "rules" or not isinstance(place[1], int):
        return ", ".join(["rule set", *(str(part) for part in place)])
    rule = raw["rules"][place[1]]
    rule_id = rule.get("id") if isinstance(rule, Mapping) else None
    name = rule_id if isinstance(rule_id, str) and rule_id else f"at index {place[1]}"
    field = ".".join(str(part) for part in place[2:])
    return f"rule {name}, {field}" if field else f"rule {name}"
