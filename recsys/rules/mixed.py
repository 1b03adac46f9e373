"""Parts of expressions that read both item and request: evaluated for the candidates left.

Once for each class among the candidates; and what was found is remembered for requests that say
the same, as far as the expression reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.rules.items import Classes, ItemFacts
from recsys.rules.language import Expression
from recsys.rules.limits import Patience
from recsys.rules.reads import AGE, NOW, Reads
from recsys.rules.request import RequestFacts

MAX_REMEMBERED_BYTES = 1 << 20
"""What one part may remember, a byte for each class and request."""

_LOOK_EVERY = 16
_UNKNOWN = -1


class Mixed:
    """One part. Many threads may ask it at once.

    Args:
        expression: sound.
        reads: of it.
        classes: of the catalog's items by the fields that it reads.
    """

    def __init__(self, expression: Expression, reads: Reads, classes: Classes) -> None:
        self._expression = expression
        self._reads = reads
        self._classes = classes
        self._fixed = NOW not in reads.request and AGE not in reads.item
        self._remembered: dict[str, npt.NDArray[np.int8]] = {}
        self._n_remembered = max(1, MAX_REMEMBERED_BYTES // max(len(classes), 1))

    def holds(
        self, items: ItemFacts, rows: npt.NDArray[np.integer[Any]], request: RequestFacts
    ) -> npt.NDArray[np.bool_]:
        """(n,) for n candidates; False where the request's patience is over."""
        said = request.picked(self._reads.request)
        known = self._known(request, said)
        codes = self._classes.of_row[rows]
        missing = np.unique(codes[known[codes] == _UNKNOWN])
        if len(missing) > 0:
            facts = items.facts(self._reads.item, request.now)
            answers = self._asked(missing, facts, said, request.patience)
            known[missing[: len(answers)]] = answers
            if len(answers) < len(missing):
                request.late.add(self)
        found: npt.NDArray[np.bool_] = known[codes] == 1
        return found

    def _asked(
        self,
        codes: npt.NDArray[np.int64],
        facts: Sequence[tuple[str, Callable[[int], Any]]],
        said: dict[str, Any],
        patience: Patience | None,
    ) -> list[bool]:
        """Answers for classes; for the first ones only where the time is over."""
        told, holds = dict(said), self._expression.holds
        found: list[bool] = []
        for row in self._classes.first[codes].tolist():
            if patience is not None and len(found) % _LOOK_EVERY == 0 and patience.is_over():
                break
            for name, value in facts:
                told[name] = value(row)
            found.append(holds(told))
        return found

    def _known(self, request: RequestFacts, said: dict[str, Any]) -> npt.NDArray[np.int8]:
        """(C,) 1 and 0 where the answer is known for what a request says."""
        if not self._fixed:
            return request.answers.setdefault(self, self._nothing())
        key = json.dumps(said, sort_keys=True)
        known = self._remembered.get(key)
        if known is None:
            while len(self._remembered) >= self._n_remembered:
                self._remembered.pop(next(iter(self._remembered), key), None)
            known = self._remembered[key] = self._nothing()
        return known

    def _nothing(self) -> npt.NDArray[np.int8]:
        return np.full(len(self._classes), _UNKNOWN, np.int8)
