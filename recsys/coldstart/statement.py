"""A statement is cut into clauses, each wished or not: "comedies, no horror" says two things.

The grammar, in words of English, German, French, Spanish, Italian and Dutch:

    statement   sentences, which end at . ! ? ; a new line or a word of contrast (but, aber, mais)
    sentence    segments, which end at a comma, slash or plus
    no, without, except ...   what follows in the segment is not wished; so are further segments of
                              a list whose last one begins with or, nor (no horror, gore or war)
    hate, avoid, dislike ...  as above, and further segments too until the sentence ends
    "Horror mag ich nicht"    a negation with nothing behind it is about what stands before it
    not only, not without     are no negation
    love, want, prefer ...    end a negation that came before them in the sentence

In any other language all that is said is wished. No text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from recsys.coldstart.negation_words import (
    AND,
    APART,
    CONTRAST,
    EMPTY,
    HATE,
    JOINED,
    NOT,
    ONLY,
    OR,
    WANT,
    WITHOUT,
)


class Clause(NamedTuple):
    """One thing that is said."""

    text: str
    """Not blank; in lower case."""
    is_wished: bool


_SENTENCE_END = re.compile(r"[.!?;\n。！？；]+(?=\s|$)|\s(?:-|–|—)\s|[\n;。！？；]")
_SEGMENT_END = re.compile(r"[,/+&、，]|\s\|\s")
_WORD = re.compile(r"[^\s()\[\]{}\"“”„«»:*]+")
_TRIMMED = "'’`.!?"

_SAID, _FREES, _NEGATES, _HATES = range(4)
"""What a word does: it is said, it ends a negation, it begins one, or one for the sentence."""


def clauses(text: str, limit: int = 16) -> tuple[Clause, ...]:
    """What is said, clause by clause.

    Args:
        text: anything.
        limit: most clauses.

    >>> clauses("slow-burn comedies, no horror")
    (Clause(text='slow-burn comedies', is_wished=True), Clause(text='horror', is_wished=False))
    >>> [c.text for c in clauses("I hate westerns, musicals and war but love comedies")]
    ['westerns', 'musicals', 'war', 'comedies']
    """
    found: dict[str, Clause] = {}
    for clause in _read(text.replace("’", "'").lower()):
        known = found.get(clause.text)
        is_news = len(found) < limit if known is None else known.is_wished
        if is_news:  # of what is said both ways the last counts, unless it was not wished before
            found[clause.text] = clause
    return tuple(found.values())


def _read(text: str) -> Iterator[Clause]:
    for plain, joined in JOINED:
        text = text.replace(plain, joined)
    for sentence in _sentences(text):
        heard = _Heard()
        for place, words in enumerate(sentence):
            yield from _segment(_roles(words), heard, _goes_on(sentence[place:]))


def _sentences(text: str) -> Iterator[list[list[str]]]:
    """Sentences of segments of words."""
    for part in _SENTENCE_END.split(text):
        sentence: list[list[str]] = [[]]
        for segment in _SEGMENT_END.split(part):
            sentence.append([])
            for word in _words(segment):
                if word in CONTRAST:
                    yield [words for words in sentence if len(words) > 0]
                    sentence = [[]]
                else:
                    sentence[-1].append(word)
        yield [words for words in sentence if len(words) > 0]


def _words(segment: str) -> list[str]:
    found = [word.strip(_TRIMMED) for word in _WORD.findall(segment)]
    return [word for word in found if word not in {"", "-", "–"}]


def _goes_on(segments: list[list[str]]) -> bool:
    """Whether a list goes on after its first segment until one that has an "or"."""
    return len(segments) > 1 and any(word in OR for word in segments[-1][:-1])


def _roles(words: list[str]) -> list[tuple[int, str]]:
    """Words with what they do; of phrases that do it together one word is left, or none."""
    found: list[tuple[int, str]] = []
    place = 0
    while place < len(words):
        word, following = words[place], words[place + 1] if place + 1 < len(words) else ""
        width, role = 1, _SAID
        if (word, following) in APART:
            width, role = 2, _NEGATES
        elif word in NOT and (following in ONLY or following in WITHOUT):
            place += 2
            continue
        elif word in NOT and following in WANT:
            width, role = 2, _HATES
        elif word in NOT or word in HATE:
            role = _NEGATES if word in NOT else _HATES
        elif word in WANT or word in ONLY:
            role = _FREES
        found.append((role, word))
        place += width
    return found


@dataclass
class _Heard:
    """What earlier segments of a sentence leave behind."""

    is_hating: bool = False
    is_list: bool = False
    """Whether a list that is not wished goes on."""


def _segment(words: list[tuple[int, str]], heard: _Heard, goes_on: bool) -> list[Clause]:
    """The clauses of a segment; ``heard`` is brought up to date."""
    found: list[Clause] = []
    held: list[str] = []
    unwished, negates = heard.is_hating or heard.is_list, False
    for role, word in words:
        if role in {_NEGATES, _HATES}:
            found += _clauses_of(held, unwished)
            held, unwished, negates = [], True, True
            heard.is_hating |= role == _HATES
        elif role == _FREES and not negates and not _says(held):
            unwished = heard.is_hating = heard.is_list = False
        else:
            held.append(word)
    last = _clauses_of(held, unwished)
    if negates and len(last) == 0 and len(found) > 0:  # "horror mag ich nicht"
        found = [Clause(clause.text, False) for clause in found]
        heard.is_hating = negates = False
    heard.is_list = (negates or heard.is_list) and goes_on
    return found + last


def _clauses_of(words: list[str], unwished: bool) -> list[Clause]:
    """Words cut where and, or, joins them; what says nothing is left out."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in AND or word in OR:
            parts.append([])
        else:
            parts[-1].append(word)
    texts = [" ".join(_stripped(part)) for part in parts if _says(part)]
    return [Clause(text, not unwished) for text in texts]


def _says(words: list[str]) -> bool:
    return any(word not in EMPTY for word in words)


def _stripped(words: list[str]) -> list[str]:
    """Without the words at either end that say nothing."""
    said = [place for place, word in enumerate(words) if word not in EMPTY]
    return words[said[0] : said[-1] + 1]
