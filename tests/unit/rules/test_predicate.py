"""Expressions: what is refused, and that cutting them changes nothing."""

from __future__ import annotations

import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.errors import RuleError
from recsys.rules.applying import adjust
from recsys.rules.bitmaps import Effort, predicate
from recsys.rules.items import ItemFacts
from recsys.rules.limits import Patience
from recsys.rules.predicate import write
from recsys.rules.reads import reads
from recsys.rules.request import RequestFacts
from recsys.rules.tokens import conjuncts, nesting, tokens
from tests.unit.rules.shop import NOW, compiled, rule, shop

ITEMS = ItemFacts(shop())
ALL = np.arange(len(ITEMS))

ATOMS = [
    '"tea" in item.categories',
    'item.attributes.brand == "a"',
    "has(item.attributes.brand)",
    'item.categories.exists(c, c == "sweet")',
    'item.title.endsWith("1")',
    "item.age_days < 3.0",
    "item.age_days + 1.0 > 3.0",
    "item.available_from < context.now",
    'context.country == "DE"',
    "context.n > 2",
    "context.missing == 1",
    "user.is_known",
    "user.attributes.plan == item.attributes.brand",
    "context.brands.exists(b, b == item.attributes.brand)",
    'item.attributes == {"brand": "b"}',
    'context["country"] in item.categories',
    "true",
    'item.title == "&& || ) (" // && a comment',
]
SOURCES = st.recursive(
    st.sampled_from([f"({atom}\n)" for atom in ATOMS] + [a for a in ATOMS if "//" not in a]),
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
REQUESTS = [
    RequestFacts(NOW, True, {"plan": "a"}, {"country": "DE", "n": 3, "brands": ["a", "c"]}),
    RequestFacts(NOW - 1e6, False, {}, {"country": "tea", "n": 1.5}),
    RequestFacts(NOW, False),
]


def whole(source: str, request: RequestFacts) -> list[bool]:
    """The expression as it was written, asked of each item by itself."""
    written = write(source)
    facts = ITEMS.facts(reads("item").item, request.now)  # all of them
    items = [{name: value(row) for name, value in facts} for row in ALL.tolist()]
    return [written.whole.holds(request.facts | item) for item in items]


@settings(max_examples=60, deadline=None)
@given(SOURCES, st.sampled_from(REQUESTS))
def test_a_cut_expression_says_what_the_whole_one_says(source: str, request: RequestFacts) -> None:
    try:
        found = predicate(write(source), ITEMS, Effort(time.perf_counter))
    except RuleError:  # more macros than are allowed
        assume(False)
    holds = (
        found.holds(ITEMS, ALL, request) if found.is_asked(request) else np.zeros(len(ALL), bool)
    )
    assert holds.tolist() == whole(source, request)
    again = found.holds(ITEMS, ALL[::-1], request)  # now what is mixed is remembered
    assert not found.is_asked(request) or again[::-1].tolist() == holds.tolist()


def test_what_was_answered_is_kept_with_the_part_that_was_asked() -> None:
    request = RequestFacts(NOW)
    source = "(item.age_days < 3.0 || item.age_days < 3.0)"
    found = predicate(write(source), ITEMS, Effort(time.perf_counter))
    found.holds(ITEMS, ALL, request)
    part = weakref.ref(found.mixed[0])
    del found
    assert part() in request.answers  # else a later part at its address would inherit them


def test_parts_go_where_they_are_cheapest() -> None:
    known = '("tea" in item.categories && user.is_known)'
    source = f"{known} && item.age_days < 3.0 && item.title == context.t"
    found = predicate(write(source), ITEMS, Effort(time.perf_counter))
    assert found.bitmap is not None and found.bitmap.tolist() == [True] * 6 + [False] * 6
    assert (len(found.once), len(found.ages), len(found.mixed)) == (1, 1, 1)


def test_an_expression_is_evaluated_once_for_each_class() -> None:
    effort = Effort(time.perf_counter)
    predicate(write('"tea" in item.categories'), ITEMS, effort)
    assert effort.n_done == 2


def test_attributes_are_told_apart() -> None:
    assert reads("item.attributes.a == item.attributes['b c']").item == {
        "attributes.a",
        "attributes.b c",
    }
    assert reads("item.attributes.size() > 1").item == {"attributes"}
    assert reads("'a' in item.attributes").item == {"attributes"}
    assert reads(r"item.attributes['a\n'] == 'x'").item == {"attributes"}
    assert reads("context.a == 'user'").request == {"context.a"}
    assert "context.now" in reads("'a' in context").request


def test_words_within_texts_are_no_words() -> None:
    assert conjuncts('a == "x && y" && b == r"\\" && c') == ['a == "x && y"', 'b == r"\\"', "c"]
    assert conjuncts("a && '''b'c && d''' == e") == ["a", "'''b'c && d''' == e"]
    assert conjuncts("(a) && (b)") == ["a", "b"]
    assert conjuncts("(a) == (b)") == ["(a) == (b)"]
    assert conjuncts("a &&") == ["a &&"]
    assert nesting(tokens("f([1, (2)]) + '((('")) == 3


@pytest.mark.parametrize(
    ("source", "place", "remedy"),
    [
        ("item.titel == 'x'", "line 1, character 5", "item has item_id, title"),
        ("user.name == 'x'", "line 1, character 5", "user has attributes"),
        ("item.age_days > 7", "line 1, character 15", "7.0 for 7"),
        ("item.title == 3", "line 1, character 12", "quotes"),
        ("item.title ==\n  == 3", "line 2, character 3", "Write it like"),
        ("item.title = 'x'", "line 1, character", "Write == to compare"),
        ("item.title", "line 1, character 1", "Compare it"),
        ("'tea'.foo() && true", "line 1, character 10", "Write a name that there is"),
        ("  ", "the expression", "true"),
        ("item.title == '\ud800'", "the expression", "UTF-8"),
        ("item.title == 'é😀' && item.x", "line 1, character", "Write a name that there is"),
        ("'" + "x" * 2_000 + "' == item.title", "the expression", "Split it"),
        ("&&".join(["true"] * 200), "the expression", "Split it"),
        ("(" * 13 + "true" + ")" * 13, "the expression", "Split it"),
        ("(" * 900 + "true" + ")" * 900, "the expression", "Split it"),
        ("context.l.all(a, context.l.all(b, a == b))", "character 28", "inner list"),
        ("context.l.all(a, a.matches('x'))", "character 20", "inner list"),
        ("&&".join(["item.title.matches('x')"] * 4), "character", "Split the rule"),
        ("context.l.all(a, " + "&&".join(["a == 1"] * 12) + ")", "character 14", "less of each"),
        ("&&".join(["context.l.all(a, a == 1)"] * 4), "character", "Split the rule"),
        ("context.l.all(item, item == 1)", "character 14", "another name"),
    ],
)
def test_a_bad_expression_is_refused_with_rule_place_and_remedy(
    source: str, place: str, remedy: str
) -> None:
    with pytest.raises(RuleError) as caught:
        compiled(rule(source, "filter", id="bad-one"))
    assert caught.value.thing.startswith("rule bad-one, when")
    assert place in caught.value.thing
    assert remedy in caught.value.remedy


def test_bitmaps_that_take_too_long_are_given_up() -> None:
    ticks = iter(range(10_000_000))
    seen: list[int] = []
    effort = Effort(lambda: float(next(ticks)), limit_s=1.0, progress=seen.append)
    many = shop()
    with pytest.raises(RuleError, match="takes longer than 1 s"):
        for n in range(100):
            predicate(write(f"item.item_id == 'i{n}'"), ItemFacts(many), effort)
    assert seen == [256, 512]


def test_too_many_mixed_rules_are_refused() -> None:
    mixed = [rule("item.title == context.t", "bury") for _ in range(21)]
    with pytest.raises(RuleError, match="rule r20: is number 21"):
        compiled(*mixed)


def test_when_patience_is_over_the_rest_does_not_hold() -> None:
    made = compiled(rule('item.title == context.t || item.item_id > "i"', "filter", id="slow"))
    ticks = iter([0.0, 0.0, 1.0, 1.0, 1.0])
    request = RequestFacts(NOW, context={"t": ""}, patience=Patience(lambda: next(ticks), 0.5))
    rules = made.bind(request)
    assert rules is not None
    many = np.arange(12).repeat(2)
    assert rules.holds(rules.rules[0], many).all() and rules.late == []
    other = replace(request, context={"t": "x"})
    late = made.bind(other)
    assert late is not None
    assert not late.holds(late.rules[0], ALL).any() and late.late == ["slow"]
    left = adjust(late, ALL, np.ones(12, np.float32))
    assert len(left.places) == 12
    assert left.notes == ("no time was left for all of rule slow",)
