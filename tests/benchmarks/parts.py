"""Benchmarks of several parts: which are run, and whose figures are told."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any


def names_among(parts: Collection[str]) -> Callable[[str], list[str]]:
    """The type of an option that names some parts, in whichever order."""

    def read(text: str) -> list[str]:
        asked = [name.strip() for name in text.split(",") if name.strip()]
        unknown = ", ".join(name for name in asked if name not in parts)
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {unknown}; known: {','.join(parts)}")
        return [name for name in parts if name in asked]

    return read


def run_parts(
    names: Sequence[str], run: Callable[[str], dict[str, Any]], figures: Sequence[str]
) -> dict[str, Any]:
    """Run parts.

    Args:
        names: of the parts.
        run: runs one.
        figures: what the benchmark tells; null where no part has it.

    Returns:
        The figures, and under ``details`` by part whatever else it found.
    """
    told: dict[str, Any] = dict.fromkeys(figures)
    details: dict[str, Any] = {}
    for name in names:
        started = time.perf_counter()
        found = run(name)
        told.update({key: found.pop(key) for key in figures if key in found})
        details[name] = {**found, "seconds": round(time.perf_counter() - started, 1)}
        sys.stderr.write(f"{name}: {details[name]}\n")
    return {**told, "details": details}
