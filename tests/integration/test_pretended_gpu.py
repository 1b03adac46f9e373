"""Training for a GPU, in a process of its own whose device is pretended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_step_and_a_validation_leave_no_tensor_behind_on_the_host() -> None:
    run = [sys.executable, "-W", "error::UserWarning", "-m", "tests.integration.pretend_gpu"]
    root = Path(__file__).parents[2]
    found = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3_000:]
