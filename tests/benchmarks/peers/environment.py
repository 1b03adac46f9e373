"""The peers' environment, made when it is first needed, and how they are run in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.downloads import cache_folder

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ROOT = Path(__file__).resolve().parents[3]
MARKER = "peers.sha256"


def peers_python(folder: Path | None = None) -> Path:
    """The interpreter of the peers' environment; about 1 GB and two minutes the first time.

    Args:
        folder: of the environment; default: ``peers-venv`` in the cache.

    Raises:
        subprocess.CalledProcessError: if pip fails; its output has been shown.
    """
    folder = cache_folder() / "peers-venv" if folder is None else folder
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    marker, python = folder / MARKER, folder / "bin" / "python"
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    sys.stderr.write(f"making the peers' environment in {folder}\n")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
    index = os.environ.get("TORCH_INDEX")
    extra = ["--extra-index-url", index] if index else []
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*command, *extra, "--requirement", str(REQUIREMENTS)], check=True, env=alone)
    marker.write_text(wanted, encoding="utf-8")
    return python


def run_peers(folder: Path, systems: Sequence[str], options: Sequence[str] = ()) -> list[Any]:
    """Run peers on a folder; their progress goes to stderr.

    Args:
        folder: as ``exchange`` describes it; the answers are written there.
        systems: names of ``grids.SYSTEMS``.
        options: further ones of ``python -m tests.benchmarks.peers``.

    Returns:
        The notes of each system.

    Raises:
        subprocess.CalledProcessError: if a peer fails.
    """
    command = [str(peers_python()), "-m", "tests.benchmarks.peers", "--folder", str(folder)]
    command += ["--systems", ",".join(systems), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


if __name__ == "__main__":
    sys.stdout.write(f"{peers_python()}\n")
