"""Settings of the rerank steps: which are taken, and a section for each."""

from __future__ import annotations

from typing import Self

from pydantic import PositiveFloat, model_validator

from recsys.section import Section


class RerankingSettings(Section):
    """From a ranking to a slate; without steps the slate is the ranking."""

    steps: tuple[str, ...] = ()
    """Steps in their order, each with a section of its name here."""
    seen_cooldown_s: PositiveFloat | None = None
    """Seconds after its last touch at which a seen item may come back; None = never."""

    @model_validator(mode="after")
    def _steps_exist(self) -> Self:
        known = step_names()
        for name in self.steps:
            if name not in known:
                raise ValueError(f"{name} is no rerank step; there are {', '.join(known)}")
        if len(set(self.steps)) < len(self.steps):
            raise ValueError("a rerank step is named twice")
        return self


def step_names() -> tuple[str, ...]:
    """Every step that there is, in the order of the sections."""
    fields = RerankingSettings.model_fields.items()
    return tuple(name for name, field in fields if _is_section(field.annotation))


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
