"""Named points where a chaos run may end or stop the process, as a crash there would.

``HALFLIFE_FAILPOINTS="append.after_commit=kill:0.01,hand_over.after=stop:1.0"`` makes the process
kill (SIGKILL) or stop (SIGSTOP) itself at a point with a probability, drawn from
``HALFLIFE_FAILPOINT_SEED``. Without the variable a point costs one look into an empty dictionary.
"""

from __future__ import annotations

import os
import random
import signal

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def parsed(text: str) -> dict[str, tuple[signal.Signals, float]]:
    """Point -> (signal, probability).

    Raises:
        ValueError: if the text is not ``point=action:probability`` with commas in between.

    >>> parsed("append.after_commit=kill:0.5")["append.after_commit"][1]
    0.5
    """
    found = {}
    for part in filter(None, text.split(",")):
        point, _, rest = part.partition("=")
        action, _, share = rest.partition(":")
        if action not in _SIGNALS:
            raise ValueError(f"failpoint {part}: write point=kill:probability or point=stop:...")
        found[point] = (_SIGNALS[action], float(share))
    return found


_armed = parsed(os.environ.get("HALFLIFE_FAILPOINTS", ""))
_draw = random.Random(os.environ.get("HALFLIFE_FAILPOINT_SEED", "") + str(os.getpid()))  # noqa: S311


def failpoint(name: str) -> None:
    """End or stop here, where a chaos run asked for it."""
    armed = _armed.get(name)
    if armed is not None and _draw.random() < armed[1]:
        os.kill(os.getpid(), armed[0])
