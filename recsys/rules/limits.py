"""Limits that keep every evaluation short, for one that runs cannot be interrupted.

An expression of at most ``MAX_WORDS`` words does a bounded number of steps, but for macros, which
go through a list, and patterns, which go through a text. Without macros inside macros, and without
patterns inside them, the steps grow with the length of one list or text only. Between two
evaluations of a request there is ``Patience``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recsys.errors import RuleError
from recsys.rules.reads import CONTEXT, ITEM, USER
from recsys.rules.tokens import NAME, Token, nesting, tokens

MAX_CHARS = 2_000
MAX_WORDS = 250
MAX_DEPTH = 12
"""Brackets within brackets."""
MAX_MACROS = 3
"""In one expression, none inside another."""
MAX_MACRO_WORDS = 40
"""Within the brackets of a macro."""
MAX_PATTERNS = 3
"""Calls of ``matches`` in one expression, none within a macro."""
MACROS = ("all", "exists", "exists_one", "map", "filter")
MAX_MIXED = 20
"""Rules of a set that must be evaluated for each candidate of each request."""
PATIENCE_S = 0.05
"""Seconds that evaluations for one request may take together."""


@dataclass
class Patience:
    """How long the evaluations for one request may take.

    Args:
        clock: seconds, ever rising.
        limit_s: from the first question on.
    """

    clock: Callable[[], float]
    limit_s: float = PATIENCE_S
    _until: float | None = field(default=None, init=False)

    def is_over(self) -> bool:
        """Whether the time is over."""
        if self._until is None:
            self._until = self.clock() + self.limit_s
        return self.clock() > self._until


def check_limits(source: str) -> None:
    """Check an expression before it is compiled.

    Raises:
        RuleError: if it is empty, too long, too deep or loops too much.
    """
    if source.strip() == "":
        raise RuleError("the expression", "is empty", "Write true to mean every item")
    if not source.isascii() and any("\ud800" <= char <= "\udfff" for char in source):
        raise RuleError("the expression", "is no Unicode text", "Send valid UTF-8")
    if len(source) > MAX_CHARS:
        raise _too(source, len(source), MAX_CHARS, "characters long")
    words = tokens(source)
    if len(words) > MAX_WORDS:
        raise _too(source, len(words), MAX_WORDS, "words long")
    if nesting(words) > MAX_DEPTH:
        raise _too(source, nesting(words), MAX_DEPTH, "brackets deep")
    _check_macros(words)


def _check_macros(words: Sequence[Token]) -> None:
    n_macros = n_patterns = end = 0
    for place, word in enumerate(words):
        is_inner = place < end
        if _is_call(words, place, ("matches",)):
            n_patterns += 1
            _check_call(word, n_patterns, MAX_PATTERNS, is_inner)
        elif _is_call(words, place, MACROS):
            n_macros += 1
            _check_call(word, n_macros, MAX_MACROS, is_inner)
            end = _closing(words, place + 1)
            _check_body(words[place + 1 : end])


def _check_call(word: Token, count: int, most: int, is_inner: bool) -> None:
    thing = f"character {word.start + 1}"
    if is_inner:
        remedy = "Write the inner list out with in, or as a rule of its own"
        raise RuleError(thing, f"has {word.text} inside a macro", remedy)
    if count > most:
        raise RuleError(thing, f"is {word.text} number {count} of {most}", "Split the rule in two")


def _check_body(body: Sequence[Token]) -> None:
    thing = f"character {body[0].start + 1}"
    if len(body) - 2 > MAX_MACRO_WORDS:
        problem = f"has {len(body) - 2} words in a macro, at most {MAX_MACRO_WORDS} are allowed"
        raise RuleError(thing, problem, "Ask for less of each element")
    if len(body) > 1 and body[1].text in {ITEM, USER, CONTEXT}:
        problem = f"gives the name {body[1].text} to an element"
        raise RuleError(thing, problem, "Use another name")


def _closing(words: Sequence[Token], opening: int) -> int:
    """The place after the bracket that closes another one."""
    depth = 0
    for place in range(opening, len(words)):
        depth += (words[place].text == "(") - (words[place].text == ")")
        if depth == 0:
            return place + 1
    return len(words)


def _is_call(words: Sequence[Token], place: int, names: Sequence[str]) -> bool:
    word = words[place]
    opens = place + 1 < len(words) and words[place + 1].text == "("
    return word.kind == NAME and word.text in names and opens


def _too(source: str, found: int, most: int, what: str) -> RuleError:
    place = f"the expression {source[:40]!r}..."
    remedy = "Split it into several rules, or give the items an attribute to ask for"
    return RuleError(place, f"is {found} {what}, at most {most} are allowed", remedy)
