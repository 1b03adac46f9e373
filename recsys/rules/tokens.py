"""The words of a CEL expression: as much of its grammar as limits and splitting ask for.

Whether an expression is sound is CEL's own compiler to say. What is said here errs to one side
only: an expression seems to read more than it does, never less.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NAME, TEXT, NUMBER, MARK = "name", "text", "number", "mark"

_PATTERN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |(?P<text>(?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|`[^`\n]*`)
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Token:
    """One word of an expression."""

    kind: str
    """``name``, ``text``, ``number`` or ``mark``."""
    text: str
    start: int
    """Characters before it."""

    @property
    def end(self) -> int:
        """Characters up to and with it."""
        return self.start + len(self.text)


def tokens(source: str) -> list[Token]:
    """The words of an expression, without blanks and comments.

    >>> [token.text for token in tokens("a.b == 'x && y'  // why")]
    ['a', '.', 'b', '==', "'x && y'"]
    """
    return [
        Token(match.lastgroup or MARK, match.group(), match.start())
        for match in _PATTERN.finditer(source)
        if match.lastgroup != "skip"
    ]


def nesting(words: Sequence[Token]) -> int:
    """How deep brackets stand within brackets."""
    depth = deepest = 0
    for word in words:
        depth += _step(word)
        deepest = max(deepest, depth)
    return deepest


def conjuncts(source: str) -> list[str]:
    """The parts that must all hold: an expression cut at its outermost ``&&``.

    >>> conjuncts("a && (b && c) && (d || e)")
    ['a', 'b', 'c', 'd || e']
    >>> conjuncts("a && b || c")
    ['a && b || c']
    """
    words = tokens(source)
    cuts, depth = [], 0
    for place, word in enumerate(words):
        depth += _step(word)
        if depth == 0 and word.text in {"||", "?"}:
            return [source]
        if depth == 0 and word.text == "&&":
            cuts.append(place)
    if len(cuts) == 0:
        inside = source[words[0].end : words[-1].start] if _is_wrapped(words) else None
        return [source] if inside is None else conjuncts(inside)
    pairs = zip([-1, *cuts], [*cuts, len(words)], strict=True)
    parts = [words[a + 1 : b] for a, b in pairs]
    if any(len(part) == 0 for part in parts):
        return [source]
    return [one for part in parts for one in conjuncts(source[part[0].start : part[-1].end])]


def normal(source: str) -> str:
    """The expression without comments, and with one blank between words."""
    return " ".join(word.text for word in tokens(source))


def _step(word: Token) -> int:
    """What a word does to the depth of brackets."""
    if word.kind != MARK:
        return 0
    return (word.text in _OPEN) - (word.text in _CLOSE)


def _is_wrapped(words: Sequence[Token]) -> bool:
    """Whether the first bracket is closed by the last word."""
    if len(words) < 3 or words[0].text != "(" or words[-1].text != ")":
        return False
    depth = 0
    for word in words[:-1]:
        depth += _step(word)
        if depth == 0:
            return False
    return True
