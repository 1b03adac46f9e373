"""Points where a chaos run ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from serving.pool.failpoints import parsed

CODE = "from serving.pool.failpoints import failpoint as f; f('a'); print('on'); f('b'); print('no')"


def test_a_process_ends_itself_where_it_was_told_to() -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CODE],
        capture_output=True,
        env={"HALFLIFE_FAILPOINTS": "b=kill:1.0,a=kill:0.0"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout in {b"", b"on\n"}, "it never comes past the point"


def test_without_the_variable_nothing_happens() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, env={}, check=False)  # noqa: S603
    assert (done.returncode, done.stdout) == (0, b"on\nno\n")


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="a=hang:1"):
        parsed("a=hang:1")
