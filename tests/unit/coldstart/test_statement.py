"""Statements: what is wished, what is not, and what cannot be read."""

from __future__ import annotations

import pytest

from recsys.coldstart.statement import clauses


def read(text: str) -> list[str]:
    return [f"{'+' if clause.is_wished else '-'}{clause.text}" for clause in clauses(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slow-burn science fiction, no horror", ["+slow-burn science fiction", "-horror"]),
        ("I like dramas and romance.", ["+dramas", "+romance"]),
        ("anything except horror", ["-horror"]),
        ("films without blood or gore, with love", ["+films", "-blood", "-gore"]),
        ("Science-Fiction ohne Horror", ["+science-fiction", "-horror"]),
        ("Ich mag Komödien, aber keine Musicals", ["+komödien", "-musicals"]),
        ("sans horreur, de la comédie", ["-horreur", "+comédie"]),
        ("sci-fi - no horror", ["+sci-fi", "-horror"]),
        ("I don’t like westerns; love comedies", ["-westerns", "+comedies"]),
    ],
)  # fmt: skip
def test_a_statement_is_cut_into_what_is_wished_and_what_is_not(
    text: str, expected: list[str]
) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no horror, comedies please", ["-horror", "+comedies"]),
        ("no horror, gore or westerns", ["-horror", "-gore", "-westerns"]),
        ("I hate westerns, war and musicals", ["-westerns", "-war", "-musicals"]),
        ("I hate westerns, musicals but love war films", ["-westerns", "-musicals", "+war films"]),
        ("no horror. comedies", ["-horror", "+comedies"]),
    ],
)
def test_how_far_a_negation_reaches(text: str, expected: list[str]) -> None:
    assert read(text) == expected


def test_a_negation_at_the_end_is_about_what_stands_before_it() -> None:
    assert read("Horror mag ich nicht") == ["-horror"]


def test_not_only_is_no_negation() -> None:
    assert read("not only comedies") == ["+comedies"]
    assert read("not without humour") == ["+humour"]


def test_what_is_said_both_ways_is_not_wished() -> None:
    assert read("horror; no horror") == ["-horror"]
    assert read("no horror; horror") == ["-horror"]


@pytest.mark.parametrize("text", ["", "   ", ",,,", "no", "nicht", "...", "\x00", "((("])
def test_what_says_nothing_is_no_clause(text: str) -> None:
    assert [one for one in read(text) if one != "+\x00"] == []


@pytest.mark.parametrize(
    "text", ["恐怖片", "ужасы и драма", "أفلام", "😀 🎉", "a" * 20_000, "\ud800"]
)
def test_any_language_or_none_is_read_as_a_wish(text: str) -> None:
    assert all(one.startswith("+") for one in read(text)) and len(read(text)) == 1


def test_no_more_is_read_than_the_limit() -> None:
    assert len(clauses(", ".join(f"word{n}" for n in range(99)), limit=5)) == 5
