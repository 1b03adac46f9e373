"""The words of an item, as names of interests are made of them."""

from __future__ import annotations

import re
from collections import Counter

from recsys.catalog import Catalog

WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
_DECADE = re.compile(r"(18|19|20)\d\d")
_YEAR_DIGITS = 4
_LONGEST_TEXT = 2_000


def item_words(catalog: Catalog, row: int) -> Counter[str]:
    """The words, decades and categories of an item, in lower case, without stop words."""
    text = f"{catalog.titles[row]} {catalog.texts[row][:_LONGEST_TEXT]}".lower()
    found = Counter(w for w in WORD.findall(text) if w not in _STOP_WORDS and _is_word(w))
    found.update({f"{word[:-1]}0s" for word in found if _DECADE.fullmatch(word)} - set(found))
    found.update({name.lower() for name in catalog.categories[row]} - set(found))
    return found


def _is_word(found: str) -> bool:
    return len(found) == _YEAR_DIGITS if found.isdecimal() else len(found) > 1


_STOP_WORDS = frozenset((
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "but", "by", "can", "could", "did", "do", "does", "down", "during", "each",
    "few", "for", "from", "had", "has", "have", "he", "her", "here", "hers", "him", "his", "how",
    "i", "if", "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "new", "no",
    "nor", "not", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own",
    "same", "she", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up",
    "us", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom",
    "why", "will", "with", "would", "you", "your",
))  # fmt: skip
"""Of English; those of other languages stand in most items of a catalog, or name nothing."""
