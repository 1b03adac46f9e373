"""What rules know of a request: the user, the context and the moment."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import RuleError
from recsys.rules.items import moment
from recsys.rules.limits import Patience
from recsys.rules.reads import CONTEXT, USER

MAX_BYTES = 4_096
MAX_LIST = 32
MAX_DEPTH = 4


@dataclass(frozen=True)
class RequestFacts:
    """One request, as rules see it."""

    now: float
    """Unix seconds: the moment that the slate is for."""
    is_known: bool = False
    """Whether anything is known of the user."""
    user: Mapping[str, Any] = field(default_factory=dict)
    """``user.attributes``."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """``context``: whatever the request says of itself."""
    answers: dict[Hashable, npt.NDArray[np.int8]] = field(default_factory=dict, compare=False)
    """What was evaluated for this request only, by the part that was (which the key keeps)."""
    patience: Patience | None = None
    """How long evaluations may take; None = as long as they do."""
    late: set[Hashable] = field(default_factory=set, compare=False)
    """Parts that were not evaluated for all candidates, because the time was over."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """CEL name -> value."""
        return {
            f"{USER}.attributes": dict(self.user),
            f"{USER}.is_known": self.is_known,
            CONTEXT: dict(self.context),
            f"{CONTEXT}.now": moment(self.now),
        }

    def picked(self, names: Iterable[str]) -> dict[str, Any]:
        """CEL name -> value, of no more than is asked for.

        Args:
            names: as ``Reads.request`` has them.
        """
        found: dict[str, Any] = {}
        for name in names:
            if name in self.facts:
                found[name] = self.facts[name]
        if CONTEXT not in found:
            asked = [name.partition(".")[2] for name in names if name not in self.facts]
            found[CONTEXT] = {name: self.context[name] for name in asked if name in self.context}
        return found


@dataclass(frozen=True)
class Said:
    """What a client says with a request."""

    user: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    def at(self, now: float, is_known: bool, patience: Patience | None = None) -> RequestFacts:
        """The facts of the request at a moment (Unix seconds)."""
        return RequestFacts(now, is_known, self.user, self.context, patience=patience)


def read_context(raw: Any) -> Said:
    """The user's attributes (``user``) and the context (all else) of a JSON object.

    Raises:
        RuleError: if it is no object, too large, or holds what CEL cannot.
    """
    if not isinstance(raw, dict):
        raise RuleError("context", "is no object", 'Send {"country": "DE", "user": {...}}')
    try:
        size = len(json.dumps(raw, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, RecursionError) as error:
        raise RuleError("context", "holds what is no JSON", "Send texts and numbers") from error
    if size > MAX_BYTES:
        raise RuleError("context", f"is {size} bytes long", f"At most {MAX_BYTES} are allowed")
    _check(raw, "context", MAX_DEPTH)
    if "now" in raw:
        raise RuleError("context.now", "is the moment of the request", "Send as_of for another")
    user = raw.get(USER, {})
    if not isinstance(user, dict):
        raise RuleError("context.user", "is no object", 'Send {"user": {"plan": "free"}}')
    return Said(user, {name: value for name, value in raw.items() if name != USER})


def _check(value: Any, place: str, depth: int) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise RuleError(place, "is a number of more than 64 bits", "Send it as a text")
    if not isinstance(value, (dict, list)):
        return
    if depth == 0 or len(value) > MAX_LIST:
        limits = f"At most {MAX_LIST} values, {MAX_DEPTH} levels deep"
        raise RuleError(place, "is too deep or holds too many values", limits)
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inside:
        _check(one, f"{place}.{name}", depth - 1)
