"""CEL itself: the names that rules may use with their types, and sound expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from cel_expr_python import cel

from recsys.errors import RuleError
from recsys.rules.reads import CONTEXT, ITEM, ITEM_FIELDS, USER

_NAMES = (
    "item has " + ", ".join(ITEM_FIELDS) + "; user has attributes, is_known; "
    "context has now and what the request says"
)
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)(?= \(in container|\n| \[[A-Z_]+\]$|$)")


@cache
def _environment() -> cel.Env:
    text, moment = cel.Type.STRING, cel.Type.TIMESTAMP
    anything = cel.Type.Map(text, cel.Type.DYN)
    return cel.NewEnv(
        variables={
            f"{ITEM}.item_id": text,
            f"{ITEM}.title": text,
            f"{ITEM}.categories": cel.Type.List(text),
            f"{ITEM}.attributes": cel.Type.Map(text, text),
            f"{ITEM}.available_from": moment,
            f"{ITEM}.available_until": moment,
            f"{ITEM}.created_at": moment,
            f"{ITEM}.age_days": cel.Type.DOUBLE,
            f"{USER}.attributes": anything,
            f"{USER}.is_known": cel.Type.BOOL,
            CONTEXT: anything,
            f"{CONTEXT}.now": moment,
        }
    )


class Expression:
    """A compiled expression; many threads may ask it at once.

    Args:
        source: in CEL.

    Raises:
        RuleError: if it does not compile, a name or a type is wrong, or it is no true-or-false.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._compiled = _environment().compile(source)
        except RuntimeError as error:
            raise _explained(source, str(error)) from error
        found = self._compiled.return_type()
        if found != cel.Type.BOOL and found != cel.Type.DYN:  # noqa: PLR1714 - they have no hash
            problem = f"is {found.name().lower()}, neither true nor false"
            raise RuleError(_thing(1, 1), problem, "Compare it with something: ==, <, in, ...")

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true.

        Args:
            facts: name -> value of all names that it may read.

        Returns:
            False also where it cannot be said: a name that the item or the request lacks, types
            that do not go together.
        """
        try:
            return self._compiled.eval(data=facts).value() is True
        except RuntimeError:  # CEL's own bound on iterations
            return False


def _explained(source: str, message: str) -> RuleError:
    """CEL's first complaint, and what to write instead."""
    found = _PLACE.search(message)
    if found is None:
        return RuleError(
            _thing(1, 1), message.split("[", maxsplit=1)[0].strip(), "Write a simpler expression"
        )
    line, column, problem = int(found[1]), int(found[2]), found[3].strip()
    return RuleError(_thing(line, column), problem, _remedy(source, problem))


def _thing(line: int, column: int) -> str:
    return f"line {line}, character {column}"


def _remedy(source: str, problem: str) -> str:
    if "undeclared reference" in problem:
        return f"Write a name that there is: {_NAMES}"
    if "double, int" in problem or "int, double" in problem:
        return "Write numbers that are compared with age_days with a point: 7.0 for 7"
    if "no matching overload" in problem:
        return 'Compare equals with equals: texts stand in quotes, times are timestamp("...")'
    if "=" in source and "==" not in source:
        return "Write == to compare"
    return 'Write it like item.attributes.brand == "x" && !("y" in item.categories)'
