"""A wish: what one user wants of one interest, and how it stands in the record.

Wishes are events of a kind of their own, ``wish``, which nobody can post and which never weighs as
evidence. So they are durable, deduplicated, moved, archived, exported and erased as events are. One
such event sets some fields; for each field the latest event holds, of equal times the one of the
larger id, so that any order of folding gives the same wish.

An interest is named by its label and by the centre of its node, because numbers of nodes change
with every bundle.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.schema import microseconds

WISH = "wish"
"""Kind of the events that wishes are."""
MUTE, BOOST, PIN, FORGET = "mute", "boost", "pin", "forget"
FIELDS = (MUTE, BOOST, PIN, FORGET)

Value = bool | float | None


class Stamp(NamedTuple):
    """A field's value, and which event set it; the larger one holds."""

    ts: float
    """Unix seconds."""
    event_id: str
    value: Value
    """None = nothing is wished any more."""


@dataclass(frozen=True)
class Wish:
    """All that a user wishes of one interest."""

    label: str
    """Of the node when it was said."""
    vector: str
    """Centre of the node, (D,) float16, in base64."""
    said: Mapping[str, Stamp]
    """By field; what was never said is left out."""

    @property
    def centre(self) -> npt.NDArray[np.float32]:
        """(D,) the node's centre."""
        data = base64.b64decode(self.vector, validate=True)
        return np.frombuffer(data, np.float16).astype(np.float32)

    @property
    def is_muted(self) -> bool:
        """Whether nothing of it shall be shown."""
        return self._value(MUTE) is True

    @property
    def boost(self) -> float | None:
        """What scores of its items are multiplied by; None = nothing."""
        value = self._value(BOOST)
        return None if value is None else float(value)

    @property
    def is_pinned(self) -> bool:
        """Whether it shall have a place in every slate."""
        return self._value(PIN) is True

    @property
    def forgotten_at(self) -> float | None:
        """Unix seconds up to which its evidence does not count; None = all counts."""
        stamp = self.said.get(FORGET)
        return None if stamp is None else stamp.ts

    @property
    def says_something(self) -> bool:
        """Whether anything is wished."""
        wanted = self.is_muted or self.is_pinned or self.boost is not None
        return wanted or self.forgotten_at is not None

    @property
    def latest(self) -> Stamp:
        """The last thing said."""
        return max(self.said.values(), key=lambda stamp: stamp[:2], default=_NEVER)

    def merged(self, other: Wish) -> Wish:
        """Both, the later of each field; named as the one that was spoken of last."""
        said = dict(self.said)
        for name, stamp in other.said.items():
            if name not in said or said[name][:2] < stamp[:2]:
                said[name] = stamp
        newer = other if other.latest[:2] > self.latest[:2] else self
        return Wish(newer.label, newer.vector, said)

    def _value(self, name: str) -> Value:
        stamp = self.said.get(name)
        return None if stamp is None else stamp.value

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; ``of_json`` is the inverse."""
        said = {name: list(self.said[name]) for name in sorted(self.said)}
        return {"label": self.label, "vector": self.vector, "said": said}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Wish:
        """The inverse of ``as_json``."""
        said = {name: Stamp(*stamp) for name, stamp in value["said"].items()}
        return cls(value["label"], value["vector"], said)


_NEVER = Stamp(-np.inf, "", None)


def encoded(centre: npt.NDArray[np.floating[Any]]) -> str:
    """A centre (D,) as ``Wish.vector``."""
    return base64.b64encode(np.asarray(centre, np.float16).tobytes()).decode()


def wish_text(label: str, vector: str, changes: Mapping[str, Value]) -> str:
    """The ``text`` of an event that sets some fields."""
    return json.dumps({"label": label, "vector": vector, "set": dict(changes)})


def read_wish(text: str | None, ts: float, event_id: str) -> Wish | None:
    """What an event of kind ``wish`` says; None where a later version says what we do not know."""
    at = microseconds(ts) / 1e6  # as it is stored
    try:
        told = json.loads(text or "")
        changes = {name: value for name, value in told["set"].items() if name in FIELDS}
        wish = Wish(
            str(told["label"]),
            str(told["vector"]),
            {name: Stamp(at, event_id, value) for name, value in changes.items()},
        )
        _ = wish.centre
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return wish if len(wish.said) > 0 else None
