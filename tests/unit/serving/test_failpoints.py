"""Points where a chaos run ends the process."""

from __future__ import annotations

import os
import signal

import pytest

from serving.pool import failpoints
from serving.pool.failpoints import failpoint, parsed


def test_a_process_ends_itself_where_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
    failpoint("b")
    assert sent == [], "nothing is armed by itself"
    monkeypatch.setattr(failpoints, "_armed", parsed("b=kill:1.0,a=kill:0.0,c=stop:1"))
    for name in "abc":
        failpoint(name)
    assert sent == [(os.getpid(), signal.SIGKILL), (os.getpid(), signal.SIGSTOP)]


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="a=hang:1"):
        parsed("a=hang:1")
