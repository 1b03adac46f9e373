"""What rules do to candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rules.applying import Applied, apply, shortlist, wanted
from recsys.rules.compiled import BoundRules
from tests.unit.rules.shop import DAY, NOW, bound, rule

ROWS = np.arange(12)
SCORES = np.linspace(1.2, 0.1, 12).astype(np.float32)
"""i00 is the best."""


def shown(rules: BoundRules, k: int = 4, scores: np.ndarray = SCORES) -> list[int]:
    return ROWS[apply(rules, ROWS, scores, k).places].tolist()


def done(rules: BoundRules, k: int = 4) -> Applied:
    return apply(rules, ROWS, SCORES, k)


def test_without_rules_the_best_are_shown() -> None:
    found = done(bound())
    assert found.places.tolist() == [0, 1, 2, 3]
    assert not found.added.any() and not found.pinned.any()
    assert found.rules == [()] * 4 and found.notes == ()


def test_a_filter_takes_items_out() -> None:
    assert shown(bound(rule('"tea" in item.categories', "filter"))) == [6, 7, 8, 9]


def test_where_an_attribute_is_missing_a_filter_does_not_hold() -> None:
    assert shown(bound(rule('item.attributes.brand != "a"', "filter"))) == [0, 2, 3, 5]


def test_what_is_not_surely_available_is_not_shown() -> None:
    rules = bound(rule("item.attributes.brand == context.brand", "availability"), brand="b")
    assert shown(rules) == [1, 4, 7, 10]
    assert shown(bound(rule("item.attributes.brand == context.brand", "availability"))) == []
    closed = bound(rule('context.country == "DE"', "availability"), country="FR")
    assert shown(closed) == []


def test_a_boost_multiplies_and_its_part_is_told() -> None:
    found = done(bound(rule('item.item_id == "i02"', {"type": "boost", "multiply": 2.0})))
    assert found.places.tolist() == [2, 0, 1, 3]
    assert found.added[0] == pytest.approx(SCORES[2])
    assert found.rules[0] == ("r0",)


def test_a_boost_lifts_scores_below_zero_too() -> None:
    rules = bound(rule('item.item_id == "i03"', {"type": "boost", "multiply": 10.0}))
    assert shown(rules, scores=SCORES - 2.0)[0] == 3
    rules = bound(rule('item.item_id == "i00"', {"type": "boost", "multiply": 0.1}))
    assert shown(rules, scores=SCORES - 1.3)[0] != 0


def test_an_added_boost_is_a_share_of_the_spread() -> None:
    found = done(bound(rule('item.item_id == "i11"', {"type": "boost", "add": 1.0})), k=12)
    place = found.places.tolist().index(11)
    assert found.added[place] == pytest.approx(1.1) and place <= 1


def test_what_is_buried_comes_last_in_its_own_order() -> None:
    lifted = rule('item.item_id == "i01"', {"type": "boost", "multiply": 10.0})
    rules = bound(rule('"tea" in item.categories', "bury"), lifted)
    assert shown(rules, k=12) == [6, 7, 8, 9, 10, 11, 1, 0, 2, 3, 4, 5]


def test_a_pin_takes_the_best_that_fits() -> None:
    found = done(bound(rule('"cake" in item.categories', {"type": "pin", "place": 2})))
    assert found.places.tolist() == [0, 6, 1, 2]
    assert found.pinned.tolist() == [0, 2, 0, 0] and found.rules[1] == ("r0",)


def test_a_pin_beyond_what_there_is_goes_last() -> None:
    few = rule('item.item_id in ["i00", "i01", "i02"]', "availability")
    pin = rule('item.item_id == "i00"', {"type": "pin", "place": 4})
    assert shown(bound(few, pin)) == [1, 2, 0]


def test_a_filter_wins_over_a_pin() -> None:
    pin = rule('item.item_id == "i05"', {"type": "pin", "place": 1})
    found = done(bound(pin, rule('"tea" in item.categories', "filter")))
    assert 5 not in found.places
    assert found.notes == ("rule r0 pins nothing: it fits no candidate that may be shown",)


def test_of_two_pins_the_higher_priority_has_the_place() -> None:
    first = rule('item.item_id == "i05"', {"type": "pin", "place": 1})
    second = rule('item.item_id == "i06"', {"type": "pin", "place": 1}, priority=5)
    found = done(bound(first, second))
    assert found.places.tolist() == [6, 0, 1, 2]
    assert found.notes == ("rule r0 pins nothing: r1 has place 1",)


def test_a_pin_stands_in_spite_of_a_quota_and_is_counted() -> None:
    pin = rule('item.item_id == "i05"', {"type": "pin", "place": 3})
    quota = rule('"tea" in item.categories', {"type": "quota", "at_most": 1})
    assert shown(bound(pin, quota)) == [6, 7, 5, 8]
    none = rule('"tea" in item.categories', {"type": "quota", "at_most": 0})
    assert shown(bound(pin, none)) == [6, 7, 5, 8]


def test_quotas_bound_from_above_and_below() -> None:
    most = rule('"tea" in item.categories', {"type": "quota", "at_most": 2})
    assert shown(bound(most)) == [0, 1, 6, 7]
    least = rule('"cake" in item.categories', {"type": "quota", "at_least": 2})
    found = done(bound(least))
    assert found.places.tolist() == [0, 1, 6, 7]
    assert found.rules == [(), (), ("r0",), ("r0",)]


def test_a_quota_that_cannot_be_met_says_so() -> None:
    least = rule('item.item_id == "i03"', {"type": "quota", "at_least": 2})
    found = done(bound(least))
    assert found.places.tolist() == [0, 1, 2, 3]
    assert found.notes == ("rule r0 wants at least 2, there are 1",)


def test_quotas_that_leave_places_open_say_so() -> None:
    found = done(bound(rule("true", {"type": "quota", "at_most": 3})))
    assert len(found.places) == 3
    assert found.notes == ("the quotas r0 hold 9 candidates back",)


def test_when_everything_is_filtered_the_answer_says_so() -> None:
    found = done(bound(rule("true", "filter", id="all-out")))
    assert len(found.places) == 0
    assert found.notes == ("all 12 candidates are filtered by the rules all-out",)


def test_no_candidates_are_no_error() -> None:
    none = apply(bound(rule("true", "filter")), ROWS[:0], SCORES[:0], 5)
    assert len(none.places) == 0 and none.notes == ()


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"active_from": NOW}, True),
        ({"active_from": NOW + 1}, False),
        ({"active_until": NOW}, False),
        ({"active_until": "2030-01-01T00:00:00Z"}, True),
    ],
)
def test_a_rule_counts_while_it_is_active(more: dict[str, Any], counts: bool) -> None:
    assert (0 not in shown(bound(rule('item.item_id == "i00"', "filter", **more)))) is counts


def test_age_follows_the_moment() -> None:
    new = rule("item.age_days < 3.0", "filter")
    assert shown(bound(new)) == [0, 2, 4, 6]
    assert shown(bound(new, now=NOW + 3 * DAY)) == [0, 1, 2, 3]


def test_of_many_candidates_pins_and_quotas_keep_theirs() -> None:
    pin = rule('item.item_id == "i11"', {"type": "pin", "place": 1})
    quota = rule('"sweet" in item.categories', {"type": "quota", "at_least": 2})
    rules = bound(pin, quota)
    near = shortlist(rules, ROWS, SCORES, 2)
    assert {0, 1, 6, 11} <= set(near.tolist())
    found = apply(rules, ROWS, SCORES, 4, n_candidates=2)
    assert found.places.tolist()[:2] == [11, 0] and 6 in found.places


def test_a_cheap_boost_reaches_items_beyond_the_best() -> None:
    rules = bound(rule('item.item_id == "i09"', {"type": "boost", "multiply": 10.0}))
    assert 9 in shortlist(rules, ROWS, SCORES * 10, 2)


def test_pins_and_quotas_say_what_they_want() -> None:
    rules = bound(
        rule('item.item_id == "i11"', {"type": "pin", "place": 1}),
        rule('item.item_id == "i07"', {"type": "quota", "at_least": 1}),
        rule('item.item_id == "i06"', {"type": "quota", "at_most": 1}),
        rule('item.item_id == "i05" && !user.is_known', {"type": "pin", "place": 1}),
    )
    assert wanted(rules).tolist() == [7, 11]
    assert wanted(bound()).tolist() == []


WHENS = st.sampled_from(
    [
        '"tea" in item.categories',
        'item.attributes.brand == "a"',
        "item.age_days < 3.0",
        'item.attributes.brand == context.brand && "cake" in item.categories',
        'item.title.endsWith(context.end) || user.attributes.plan == "free"',
        'user.is_known && item.item_id > "i04"',
        "true",
    ]
)
ACTIONS = st.one_of(
    st.sampled_from([{"type": "filter"}, {"type": "bury"}, {"type": "availability"}]),
    st.builds(lambda n: {"type": "pin", "place": n}, st.integers(1, 6)),
    st.builds(lambda n: {"type": "quota", "at_most": n}, st.integers(0, 4)),
    st.builds(lambda n: {"type": "quota", "at_least": n}, st.integers(1, 4)),
    st.builds(lambda x: {"type": "boost", "multiply": x}, st.floats(0.1, 10.0)),
    st.builds(lambda x: {"type": "boost", "add": x}, st.floats(-1.0, 1.0)),
)
RULES = st.lists(st.builds(rule, WHENS, ACTIONS, priority=st.integers(-2, 2)), max_size=6)


@settings(max_examples=50, deadline=None)
@given(RULES, st.integers(1, 12), st.permutations(range(12)), st.sampled_from(["a", "b", None]))
def test_precedence_holds_whatever_the_rules(
    rules: list[dict[str, Any]], k: int, order: list[int], brand: str | None
) -> None:
    found = bound(*rules, brand=brand, end="3")
    rows = np.array(order)
    scores = np.linspace(-0.5, 0.6, 12).astype(np.float32)
    made = apply(found, rows, scores, k)
    chosen = rows[made.places].tolist()
    assert len(set(chosen)) == len(chosen) <= k
    by_id = {one.rule.id: one for one in found.rules}
    free = [row for row, place in zip(chosen, made.pinned, strict=True) if place == 0]
    for one in found.rules:
        holds = found.holds(one, ROWS)
        action = one.rule.action
        if one.compiled.hides:
            assert not one.compiled.hidden(holds)[chosen].any()
        if action.type == "quota" and action.at_most is not None:
            n_pinned = int(holds[chosen].sum() - holds[free].sum())
            assert holds[chosen].sum() <= max(action.at_most, n_pinned)
    for place, pinned in enumerate(made.pinned.tolist(), start=1):
        if pinned:
            assert pinned == place or (place < pinned and place > len(free))
    assert all(rule_id in by_id for ids in made.rules for rule_id in ids)
