"""Rule sets as they are written: JSON, contradictions, versions, differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import ChecksumError, ConflictError, NotFoundError, RuleError
from recsys.rules.contradictions import warnings
from recsys.rules.differences import Change, differences
from recsys.rules.request import read_context
from recsys.rules.schema import RuleSet, read_rules
from recsys.rules.versions import load_version, put_rules, read_current, roll_back
from recsys.store import Store
from tests.unit.rules.shop import compiled, rule

TEA, CAKE = '"tea" in item.categories', '"cake" in item.categories'


def quota(**number: int) -> dict[str, Any]:
    return {"type": "quota", **number}


def pin(place: int) -> dict[str, Any]:
    return {"type": "pin", "place": place}


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ([], "rule set"),
        ({}, None),
        ({"rules": [{}]}, "rule at index 0, id"),
        ({"rules": [rule("true", "sing")]}, "rule r, action"),
        ({"rules": [rule("true", "filter", colour="red")]}, "rule r, colour"),
        ({"rules": [rule("true", "filter", id="a b")]}, "rule a b, id"),
        ({"rules": [rule("true", "filter"), rule("true", "bury")]}, "rule set"),
        ({"rules": [rule("true", {"type": "boost"})]}, "rule r, action"),
        ({"rules": [rule("true", {"type": "boost", "multiply": 11.0})]}, "rule r, action"),
        ({"rules": [rule("true", {"type": "boost", "add": float("nan")})]}, "rule r, action"),
        ({"rules": [rule("true", quota(at_most=1, at_least=1))]}, "rule r, action"),
        ({"rules": [rule("true", pin(0))]}, "rule r, action"),
        ({"rules": [rule("true", "filter", active_from="soon")]}, "rule r, active_from"),
        ({"rules": [rule("true", "filter", active_from=2.0, active_until=1.0)]}, "rule r"),
        ({"rules": [rule("true", "filter", id=f"r{i}") for i in range(201)]}, "rule set, rules"),
    ],
)
def test_unsound_rules_are_refused_by_name_and_field(raw: Any, place: str | None) -> None:
    if place is None:
        assert read_rules(raw).rules == ()
        return
    with pytest.raises(RuleError) as caught:
        read_rules(raw)
    assert caught.value.thing.startswith(place)


@pytest.mark.parametrize(
    "raw",
    [
        [],
        {"now": 1.0},
        {"user": "ann"},
        {"a": 2**63},
        {"a": float("nan")},
        {"a": "\ud800"},
        {"a": "x" * 5_000},
        {"a": list(range(33))},
        {"a": [[[[[1]]]]]},
    ],
)
def test_an_unsound_context_is_refused(raw: Any) -> None:
    with pytest.raises(RuleError, match="context"):
        read_context(raw)


@pytest.mark.parametrize(
    ("rules", "named", "text"),
    [
        ([rule('item.item_id == "i01"', pin(1)), rule(TEA, "filter")], ("r0", "r1"), "filter wins"),
        ([rule(f"{TEA} && user.is_known", pin(1)), rule(f"({TEA})&&user.is_known", "filter")],
         None, ""),
        ([rule("user.is_known", pin(1)), rule("user.is_known // all", "filter")],
         ("r0", "r1"), "filter wins"),
        ([rule(TEA, quota(at_least=3)), rule(TEA, quota(at_most=2))], ("r0", "r1"), "maximum wins"),
        ([rule(TEA, quota(at_least=3)), rule(CAKE, quota(at_most=2))], None, ""),
        ([rule("context.a == 1", quota(at_least=3)), rule("context.a==1", quota(at_most=2))],
         ("r0", "r1"), "maximum wins"),
        ([rule(TEA, {"type": "boost", "multiply": 2.0}),
          rule('!("cake" in item.categories)', {"type": "boost", "multiply": 0.5})],
         ("r0", "r1"), "undo each other"),
        ([rule(TEA, {"type": "boost", "add": 0.5}), rule(TEA, {"type": "boost", "add": 0.5})],
         None, ""),
        ([rule(TEA, {"type": "boost", "add": 0.5}), rule("true", "bury")],
         ("r0", "r1"), "boosts what is buried"),
        ([rule(TEA, pin(1)), rule(CAKE, pin(1))], ("r0", "r1"), "same place 1"),
        ([rule(TEA, pin(1), active_until=5.0), rule(CAKE, pin(1), active_from=5.0)], None, ""),
        ([rule(TEA, "filter"), rule(TEA, "availability")], ("r0", "r1"), "no item"),
        ([rule('item.title == "gone"', "bury")], ("r0",), "about no item"),
        ([rule(TEA, quota(at_least=7))], ("r0",), "has 6"),
        ([rule(TEA, quota(at_least=7), enabled=False)], None, ""),
    ],
)  # fmt: skip
def test_contradictions_are_found_when_rules_are_written(
    rules: list[dict[str, Any]], named: tuple[str, ...] | None, text: str
) -> None:
    found = warnings(compiled(*rules))
    if named is None:
        assert found == []
    else:
        assert [one.rules for one in found] == [named]
        assert text in found[0].text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_versions_are_listed_and_rolled_back(store: Store) -> None:
    first = read_rules({"rules": [rule(TEA, "filter")]})
    second = read_rules({"rules": [rule(CAKE, "filter", active_from="2024-01-01")]})
    assert read_current(store, "t").version is None
    assert load_version(store, "t", None) == RuleSet()
    put_rules(store, "t", first, None, 1.0)
    put_rules(store, "t", second, first.version, 2.0)
    current = read_current(store, "t")
    assert [turn.version for turn in current.history] == [first.version, second.version]
    assert load_version(store, "t", second.version) == second
    assert second.rules[0].active_from == 1_704_067_200.0
    back = roll_back(store, "t", None, second.version, 3.0)
    assert back.version == first.version and back.history[-1].at == 3.0
    assert roll_back(store, "t", second.version, first.version, 4.0).version == second.version
    assert read_current(store, "other").version is None


def test_whoever_comes_second_is_told(store: Store) -> None:
    rules = read_rules({"rules": [rule(TEA, "filter")]})
    put_rules(store, "t", rules, None, 1.0)
    for write in (
        lambda: put_rules(store, "t", rules, None, 2.0),
        lambda: roll_back(store, "t", rules.version, "0" * 32, 2.0),
    ):
        with pytest.raises(ConflictError, match=f"are at version {rules.version}"):
            write()
    assert len(read_current(store, "t").history) == 1


def test_unknown_versions_and_changed_files_are_refused(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no version before"):
        roll_back(store, "t", None, None, 1.0)
    with pytest.raises(NotFoundError):
        roll_back(store, "t", "../../secret", None, 1.0)
    rules = read_rules({"rules": [rule(TEA, "filter")]})
    put_rules(store, "t", rules, None, 1.0)
    store.write(f"rules/t/{rules.version}.json", b"{}")
    with pytest.raises(ChecksumError):
        load_version(store, "t", rules.version)
    store.write("rules/t/CURRENT", b'{"history": [1]}')
    with pytest.raises(ChecksumError, match="no pointer to rules"):
        read_current(store, "t")


def test_equal_rules_are_one_version_and_defaults_are_no_difference() -> None:
    plain = read_rules({"rules": [rule(TEA, "filter")]})
    told = read_rules({"rules": [rule(TEA, "filter", priority=0, enabled=True)]})
    assert plain.version == told.version
    assert "priority" not in json.loads(plain.content)["rules"][0]


def test_differences_name_what_goes_comes_and_moves() -> None:
    found = differences(["a", "b", "c"], ["c", "b", "d"], {"a": ["x"], "d": ["y"]})
    assert found == [
        Change("a", 1, None, ("x",)),
        Change("c", 3, 1, ()),
        Change("d", None, 3, ("y",)),
    ]
