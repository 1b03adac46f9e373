"""Unit tests run in seconds and never start Ray."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import ray


@pytest.fixture(autouse=True)
def ray_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a unit test must not start or ask Ray")

    monkeypatch.setattr(ray, "init", forbidden)
    monkeypatch.setattr(ray, "get", forbidden)
