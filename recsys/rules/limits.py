"""Limits that keep every evaluation short, for one that runs cannot be interrupted.

An expression of at most ``MAX_WORDS`` words does a bounded number of steps, but for macros, which
go through a list. Without macros inside macros the steps grow with the length of one list only.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys.errors import RuleError
from recsys.rules.reads import CONTEXT, ITEM, USER
from recsys.rules.tokens import NAME, Token, nesting, tokens

MAX_CHARS = 2_000
MAX_WORDS = 250
MAX_DEPTH = 12
"""Brackets within brackets."""
MAX_MACROS = 3
"""In one expression, none inside another."""
MACROS = ("all", "exists", "exists_one", "map", "filter")
MAX_MIXED = 20
"""Rules of a set that must be evaluated for each candidate of each request."""


def check_limits(source: str) -> None:
    """Check an expression before it is compiled.

    Raises:
        RuleError: if it is empty, too long, too deep or loops too much.
    """
    if source.strip() == "":
        raise RuleError("the expression", "is empty", "Write true to mean every item")
    if len(source) > MAX_CHARS:
        raise _too(source, len(source), MAX_CHARS, "characters long")
    words = tokens(source)
    if len(words) > MAX_WORDS:
        raise _too(source, len(words), MAX_WORDS, "words long")
    if nesting(words) > MAX_DEPTH:
        raise _too(source, nesting(words), MAX_DEPTH, "brackets deep")
    _check_macros(words)


def _check_macros(words: Sequence[Token]) -> None:
    depth, inside, n_macros = 0, None, 0
    for place, word in enumerate(words):
        if word.text == "(":
            depth += 1
        elif word.text == ")":
            depth -= 1
            inside = None if inside is not None and depth < inside else inside
        elif _is_macro(words, place):
            n_macros += 1
            _check_macro(words, place, n_macros, inside is not None)
            inside = depth + 1


def _check_macro(words: Sequence[Token], place: int, n_macros: int, is_inner: bool) -> None:
    thing = f"character {words[place].start + 1}"
    if is_inner:
        problem = f"has {words[place].text} inside another macro"
        raise RuleError(thing, problem, "Write the inner list out with in, or as a rule of its own")
    if n_macros > MAX_MACROS:
        problem = f"is macro number {n_macros} of at most {MAX_MACROS}"
        raise RuleError(thing, problem, "Split the rule in two")
    bound = words[place + 2].text if place + 2 < len(words) else ""
    if bound in {ITEM, USER, CONTEXT}:
        raise RuleError(thing, f"gives the name {bound} to an element", "Use another name")


def _is_macro(words: Sequence[Token], place: int) -> bool:
    word = words[place]
    opens = place + 1 < len(words) and words[place + 1].text == "("
    called = place > 0 and words[place - 1].text == "."
    return word.kind == NAME and word.text in MACROS and opens and called


def _too(source: str, found: int, most: int, what: str) -> RuleError:
    place = f"the expression {source[:40]!r}..."
    remedy = "Split it into several rules, or give the items an attribute to ask for"
    return RuleError(place, f"is {found} {what}, at most {most} are allowed", remedy)
