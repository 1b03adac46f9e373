"""The steps that settings name."""

from __future__ import annotations

from importlib import import_module

from recsys.reranking.base import Step
from recsys.reranking.options import RerankingSettings


def steps_of(settings: RerankingSettings) -> list[Step]:
    """The steps in their order, each with its section."""
    return [
        import_module(f"recsys.reranking.{name}").STEP(getattr(settings, name))
        for name in settings.steps
    ]
