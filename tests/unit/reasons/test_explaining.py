"""What reasons name, for how long they last, and how they are put in words."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.errors import EventError
from recsys.interest.model import FoldBatch
from recsys.reasons import Histories, Reason, Scoring, explain, find_event, reason_text
from recsys.reasons.wording import deeds, fading, when
from recsys.shelf import Evidence
from tests.unit.reasons.scene import DAY, MODELS, NOW, N, Scene, scene

SHOWN = np.arange(12)


def liked(items: list[int], ages_s: list[float], kind: str = "like") -> FoldBatch:
    kinds = np.array([*([kind] * len(items)), None], object)[:-1]
    ts = NOW - np.array(ages_s, np.float64)
    return FoldBatch(np.array(items, np.int32), ts, kinds, np.full(len(items), np.nan))


def told(on: Scene, evidence: Evidence, as_of: float, how: str = "reason") -> list[Reason]:
    ones = np.ones(len(SHOWN), np.float32)  # a taste that no trend is above
    parts = {"interest": ones, "trend": np.zeros(N, np.float32)}
    found = explain(on.shelf, evidence, on.trend, as_of, SHOWN, parts, how)  # type: ignore[arg-type]
    return [reason for reason in found if reason is not None]


@pytest.mark.parametrize("name", MODELS)
def test_at_the_moment_that_is_told_about_half_of_the_effect_is_left(name: str) -> None:
    left: list[float] = []
    for seed in range(4):
        on = scene(name, seed, half_lives_s=None)
        evidence = on.evidence(liked([3, 9, 14, 21], [30.0, DAY, 9 * DAY, 80 * DAY]), NOW)
        scoring = Scoring(on.shelf, Histories(on.shelf, evidence), on.trend, NOW, SHOWN)
        for item, reason in zip(SHOWN, told(on, evidence, NOW), strict=True):
            if reason["type"] == "because" and reason["fades_at"] is not None:
                event = reason["events"][0]
                which = np.array([0, event["position"] + 1])
                whole, without = scoring.scores(which, np.full(2, reason["fades_at"]))[:, item]
                left.append((whole - without) / event["effect"])
    assert len(left) >= 20
    assert np.median(left) == pytest.approx(0.5, abs=0.02)
    assert np.mean(np.abs(np.array(left) - 0.5) < 0.1) >= 0.85


def test_a_reason_names_the_strongest_events_and_full_names_all() -> None:
    on = scene("zero-shot", 6)
    evidence = on.evidence(liked([3, 9, 14, 3, 30], [30.0, 60.0, DAY, DAY, 9 * DAY]), NOW)
    brief, full = (told(on, evidence, NOW, how) for how in ("reason", "full"))
    for short, whole in zip(brief, full, strict=True):
        assert [event["position"] for event in whole["events"]] == [0, 1, 2, 3, 4]
        effects = {event["position"]: event["effect"] for event in whole["events"]}
        assert short["type"] == whole["type"] and short["text"] == whole["text"]
        if short["type"] != "because":
            assert max(effects.values()) <= 0
            continue
        named = short["events"]
        assert named[0]["effect"] == max(effects.values()) > 0
        assert 1 <= len(named) <= 3
        assert len({event["item_id"] for event in named}) == len(named)
        assert all(event["effect"] == effects[event["position"]] for event in named)
        assert short["title"] == named[0]["title"] and short["title"] in short["text"]


def test_somebody_without_events_has_no_because() -> None:
    on = scene("learned", 1)
    assert {reason["type"] for reason in told(on, Evidence(on.shelf.nobody), NOW)} <= {
        "trending",
        "cold",
    }


def test_nothing_is_said_where_nothing_is_asked() -> None:
    on = scene("zero-shot", 1)
    parts = {"interest": np.ones(3, np.float32), "trend": np.zeros(N, np.float32)}
    nobody = Evidence(on.shelf.nobody)
    assert explain(on.shelf, nobody, on.trend, NOW, SHOWN[:3], parts, "none") == [None] * 3


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (-5.0, "today"),
        (3_600.0, "today"),
        (23 * 3_600.0, "yesterday"),
        (3 * DAY, "this week"),
        (10 * DAY, "this month"),
        (40 * DAY, "in October"),
        (400 * DAY, "in October 2022"),
    ],
)
def test_when_an_event_was(age_s: float, expected: str) -> None:
    assert when(NOW - age_s, NOW) == expected


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        (60.0, "; fades within the hour"),
        (5_000.0, "; fades today"),
        (8_000.0, "; fades by tomorrow"),
        (3 * DAY, "; fades by Friday"),
        (9 * DAY, "; fades by 23 November"),
        (60 * DAY, "; fades by January"),
        (500 * DAY, "; fades by March 2025"),
        (None, ""),
    ],
)
def test_when_an_effect_fades(left_s: float | None, expected: str) -> None:
    assert fading(None if left_s is None else NOW + left_s, NOW) == expected


def test_deeds_of_one_kind_and_time_are_said_once() -> None:
    events = [
        {"title": "A", "kind": "play", "ts": NOW - 60.0},
        {"title": "B", "kind": "play", "ts": NOW - 3 * DAY},
        {"title": "C", "kind": "purchase", "ts": NOW - 60.0},
    ]
    assert deeds(events, NOW) == "played A and B this week and bought C this week"
    assert deeds(events[:1], NOW) == "played A today"
    assert deeds([{**events[0], "kind": "hum"}], NOW) == "turned to A today"


def test_a_reason_reads_as_a_sentence() -> None:
    events = [
        {"title": "A", "kind": "rating", "ts": NOW - 2 * DAY},
        {"title": "B", "kind": "rating", "ts": NOW - 2 * DAY},
    ]
    reason = {"type": "because", "events": events, "fades_at": NOW + 3 * DAY}
    assert reason_text(reason, NOW) == "Because you rated A and B this week; fades by Friday"
    assert reason_text({"type": "cold"}, NOW) == "From the catalog"


def test_an_event_is_found_by_its_item_or_its_position() -> None:
    on = scene("zero-shot", 1)
    evidence = on.evidence(liked([3, 9, 3], [30.0, 60.0, DAY]), NOW)
    assert find_event(on.shelf, evidence, "i03").position == 0
    assert find_event(on.shelf, evidence, "item:i09").position == 1
    assert find_event(on.shelf, evidence, "2").item_id == "i03"
    assert find_event(on.shelf, evidence, "event:1").item_id == "i09"
    for name in ("3", "i05", "nothing", "event:9", "item:2", "-1", ""):
        with pytest.raises(EventError, match="none of the 3 recent events"):
            find_event(on.shelf, evidence, name)
