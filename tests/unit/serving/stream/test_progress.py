"""Counts of several consumers, and what metrics are told of them."""

from __future__ import annotations

from typing import ClassVar

import pytest

from serving.stream import metrics as metrics_module
from serving.stream.messages import Place
from serving.stream.metrics import StreamMetrics
from serving.stream.progress import Counts, Progress, total

A, B = Place("t", 0), Place("t", 1)


def test_a_total_is_the_sum() -> None:
    first = Counts(1, 2, 3, {"bad_id": 2, "too_old": 1}, 4, 5, 6)
    second = Counts(10, 20, 1, {"bad_id": 1}, 40, 50, 60)
    assert total([first, second]) == Counts(11, 22, 4, {"bad_id": 3, "too_old": 1}, 44, 55, 66)
    assert first.reasons == {"bad_id": 2, "too_old": 1}, "parts stay as they are"
    assert total([]) == Counts()


class FakeMetric:
    told: ClassVar[dict[tuple[str, str], float]] = {}

    def __init__(self, name: str, text: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.keys = name, tag_keys
        assert text and not set(tag_keys) & {"user", "user_id"}

    def set_default_tags(self, tags: dict[str, str]) -> None:
        assert set(tags) <= set(self.keys)

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        key = self.name, str(*(tags or {}).values())
        self.told[key] = self.told.get(key, 0) + value

    def set(self, value: float, tags: dict[str, str] | None = None) -> None:
        self.told[self.name, str(*(tags or {}).values())] = value


def test_metrics_are_told_what_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "Counter", FakeMetric)
    monkeypatch.setattr(metrics_module, "Gauge", FakeMetric)
    monkeypatch.setattr(FakeMetric, "told", {})
    metrics = StreamMetrics({"topic": "t", "group": "g", "consumer": "0"})
    metrics.observe(Progress(Counts(5, 1, 2, {"bad_id": 2}, 0, 1), {A: 7, B: 3}, 0.5))
    metrics.observe(Progress(Counts(9, 1, 3, {"bad_id": 2, "too_old": 1}, 2, 2), {A: 4}, 0.0))
    assert FakeMetric.told == {
        ("halflife_stream_events", ""): 9,
        ("halflife_stream_duplicates", ""): 1,
        ("halflife_stream_retries", ""): 2,
        ("halflife_stream_commits", ""): 2,
        ("halflife_stream_poison", "bad_id"): 2,
        ("halflife_stream_poison", "too_old"): 1,
        ("halflife_stream_lag", "0"): 4,
        ("halflife_stream_lag", "1"): 0,
        ("halflife_stream_commit_age_s", ""): 0.0,
    }
