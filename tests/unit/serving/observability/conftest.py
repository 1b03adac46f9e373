"""A gateway whose meters write down what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.settings import Settings
from serving import stage
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.observability.meters import GatewayMeters, Outcome, Stage
from serving.observability.pool import MeteredPool
from tests.unit.serving.conftest import NOW, LocalPool


@dataclass
class Told(GatewayMeters):
    """Writes down what it is told."""

    requests: list[tuple[str, str, int]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    slates: list[str] = field(default_factory=list)
    batches: list[tuple[int, ...]] = field(default_factory=list)
    effects: list[float] = field(default_factory=list)
    ages: list[tuple[float, ...]] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        assert seconds >= 0.0
        self.requests.append((route, method, status))

    def stage(self, stage: Stage, seconds: float) -> None:
        assert seconds >= 0.0
        self.stages.append(stage)

    def slate(self, outcome: Outcome) -> None:
        self.slates.append(outcome)

    def events(self, *told: int) -> None:
        self.batches.append(told)

    def effect(self, seconds: float) -> None:
        self.effects.append(seconds)

    def fresh(self, *ages: float) -> None:
        self.ages.append(ages)

    def encoded(self, n_texts: int, seconds: float) -> None:
        self.texts.append(n_texts)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def metered(pool: LocalPool, told: Told, clock: list[float]) -> MeteredPool:
    return MeteredPool(pool, told, NOW - 60.0, lambda: clock[0])


@pytest.fixture
def client(
    bundle: Bundle, metered: MeteredPool, settings: Settings, clock: list[float], told: Told
) -> Iterator[TestClient]:
    gateway = Gateway(bundle, metered, settings, lambda: clock[0])
    app = create_app(stage.Stage.of(gateway), meters=told)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}
