"""Run one benchmark: ``python -m tests.benchmarks NAME [options]``.

Progress goes to stderr. The last line of stdout is
``{"benchmark": NAME, "figures": {...}, "machine": {...}}``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from tests.benchmarks import machine

_INFRASTRUCTURE = {"__init__", "__main__", "machine", "parts"}


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named first; hand it the rest."""
    names = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - _INFRASTRUCTURE)
    if not arguments or arguments[0] not in names:
        sys.stderr.write(f"usage: python -m tests.benchmarks {{{','.join(names)}}} [options]\n")
        return 2
    figures = importlib.import_module(f"tests.benchmarks.{arguments[0]}").run(arguments[1:])
    report = {"benchmark": arguments[0], "figures": figures, "machine": machine.describe()}
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
