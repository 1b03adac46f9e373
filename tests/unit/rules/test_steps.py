"""Rules among the rerank steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.coldstart.options import ColdstartSettings, OptimismSettings
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.reranking.base import Ranked
from recsys.rules.compiled import BoundRules
from recsys.rules.steps import with_rules
from recsys.settings import InterestSettings, TrendSettings
from recsys.shelf import Evidence, Shelf
from recsys.slate import Slate, SlateOptions, make_slate
from recsys.sources.base import Asked
from recsys.sources.gather import source
from tests.unit.rules.shop import NOW, bound, rule, shop


class Backwards:
    """A step that turns the order round, as if it had been drawn."""

    name = "backwards"

    def apply(self, ranked: Ranked, asked: Asked, k: int) -> Ranked:
        turned = ranked.pick(np.arange(len(ranked))[::-1])
        return replace(turned, log_propensity=np.full(len(ranked), -1.0))


@pytest.fixture
def shelf() -> Shelf:
    interest, trend = InterestSettings(), TrendSettings()
    vectors = np.tile(np.array([[1.0, 0.0]], np.float32), (12, 1))
    vectors[:, 0] -= np.arange(12, dtype=np.float32) / 20
    model = ZeroShot(interest, default_weights(interest, trend))
    plain = ColdstartSettings(optimism=OptimismSettings(weight=0.0))
    return Shelf(shop(), ItemTable.all_warm(vectors), model, interest, trend, coldstart=plain)


def slate(shelf: Shelf, rules: BoundRules | None, **options: object) -> Slate:
    query = shelf.nobody._replace(vectors=np.array([[[1.0, 0.0]]], np.float32))
    features = np.ones((12, len(shelf.trend.half_lives_s)), np.float32)
    told = SlateOptions(k=4, rules=rules, **options)  # type: ignore[arg-type]
    return make_slate(shelf, Evidence(query), features, NOW, told)


def ids(found: Slate) -> list[int]:
    return [item.row for item in found.items]


def test_places_are_given_after_the_other_steps_and_scores_before(shelf: Shelf) -> None:
    rules = bound(
        rule('item.item_id == "i11"', "filter"),
        rule('item.item_id == "i09"', "bury"),
        rule('item.item_id == "i03"', {"type": "pin", "place": 2}),
        rule('item.item_id == "i10"', {"type": "boost", "multiply": 10.0}),
    )
    found = slate(shelf, rules, steps=[Backwards()])
    assert ids(found) == [8, 3, 7, 6]
    assert [item.rules for item in found.items] == [(), ("r2",), (), ()]
    assert [item.log_propensity for item in found.items] == [-1.0, 0.0, -1.0, -1.0]
    assert found.reason is None
    plain = slate(shelf, rules)
    assert ids(plain) == [10, 3, 0, 1] and plain.items[0].rules == ("r3",)
    for item in plain.items:
        assert item.score == pytest.approx(sum(item.parts.values()), abs=1e-6)


def test_pins_and_boosts_reach_beyond_what_is_ranked(shelf: Shelf) -> None:
    pin = rule('item.item_id == "i11"', {"type": "pin", "place": 1})
    boost = rule('item.item_id == "i10"', {"type": "boost", "multiply": 10.0})
    assert ids(slate(shelf, bound(pin, boost), n_ranked=1))[:2] == [11, 10]


def test_what_rules_want_is_a_candidate_with_its_source(shelf: Shelf) -> None:
    pin = rule('item.item_id == "i11"', {"type": "pin", "place": 1})
    found = slate(shelf, bound(pin), sources=[(source("interest"), 2)])
    assert [(item.row, item.sources) for item in found.items] == [
        (11, ["rules"]), (0, ["interest"]), (1, ["interest"]),
    ]  # fmt: skip
    assert found.reason is not None and found.reason.startswith("3 of 4")


def test_a_short_slate_says_which_rules_filter(shelf: Shelf) -> None:
    cheap = rule('"tea" in item.categories', "filter")
    mixed = rule("item.title.startsWith(context.word)", "filter")
    found = slate(shelf, bound(cheap, mixed, word="Item"))
    assert ids(found) == []
    assert found.reason is not None
    assert "6 of these are filtered by the rules r0" in found.reason
    assert "all 6 candidates are filtered by the rules r1" in found.reason
    rest = slate(shelf, bound(rule("true", {"type": "quota", "at_most": 1})))
    assert rest.reason is not None and "the quotas r0 hold 11 candidates back" in rest.reason


def test_without_rules_the_steps_are_what_they_were() -> None:
    steps = [Backwards()]
    assert with_rules(steps, None) is steps
