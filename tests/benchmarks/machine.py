"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import psutil


def describe() -> dict[str, object]:
    """The machine and the versions that move the figures."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": _processor(),
        "python": platform.python_version(),
        "load_at_end": os.getloadavg()[0],
        **{name: version(name) for name in ("ray", "numpy", "numba", "pyarrow", "torch")},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
