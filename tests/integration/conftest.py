"""Fixtures of the tests that need Ray."""

from __future__ import annotations

import pytest
import ray.train

from pipelines import train


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Train's local mode: the loop runs here, so a test needs no worker."""
    monkeypatch.setattr(train, "_scaling", lambda _: ray.train.ScalingConfig(num_workers=0))
