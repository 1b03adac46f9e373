"""Speed and memory of ``pipelines.ingest``, in a process of its own, Ray's start aside.

``events_per_s``     events / seconds of both stages and the publish, median of the rounds
``peak_mb``          the highest resident memory of any process (driver, Ray workers, raylet, gcs),
                     in MiB, over all rounds of the plain size
``peak_ratio_10x``   the same of one ingest of a log ten times as long, divided by ``peak_mb``

The log is generated (``--events`` rows), or ``--log FILE --map ...`` for a real one; the tenfold
log is always generated, and then so is the one that it is compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil

from recsys.testing.plain import PlainLog, plain_log

SAMPLE_S = 0.1


def run(arguments: list[str]) -> dict[str, float]:
    """Measure; return the figures."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="hl-ingest-") as folder:
        once = _generate(Path(folder) / "once", options.events)
        measured = options.log or once
        speeds, peaks = [], []
        for number in range(options.rounds):
            speed, peak = _ingest(measured, Path(folder) / f"store{number}", options.map)
            sys.stderr.write(f"round {number + 1}: {speed:,} events/s, peak {peak:.0f} MiB\n")
            speeds.append(speed)
            peaks.append(peak)
        figures: dict[str, float] = {
            "events_per_s": statistics.median(speeds),
            "peak_mb": round(max(peaks), 1),
        }
        if options.tenfold:
            base = max(peaks)
            if options.log:
                base = _ingest(once, Path(folder) / "base", [])[1]
            tenfold = _generate(Path(folder) / "tenfold", 10 * options.events)
            speed, peak = _ingest(tenfold, Path(folder) / "store10", [])
            sys.stderr.write(f"tenfold: {speed:,} events/s, peak {peak:.0f} MiB\n")
            figures["peak_ratio_10x"] = round(peak / base, 3)
            figures["tenfold_events_per_s"] = speed
    return {**figures, "n_events": options.events}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks ingest")
    parser.add_argument("--events", type=int, default=1_469_307)
    parser.add_argument("--log", nargs="+", default=[])
    parser.add_argument("--map", nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tenfold", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(arguments)


def _generate(folder: Path, n_events: int) -> list[str]:
    """A log of the shape of completejourney: users of 600 events, 92 thousand items."""
    sys.stderr.write(f"generating {n_events:,} events\n")
    log = PlainLog(n_events, n_users=max(1, n_events // 600), n_items=92_000)
    plain_log(log, folder, np.random.default_rng(17))
    return [str(folder)]


def _ingest(places: list[str], store: Path, mapping: list[str]) -> tuple[int, float]:
    """Run the job as a user does; return events per second and the peak of any process in MiB."""
    command = [sys.executable, "-m", "pipelines.ingest", "--store", str(store), "--events", *places]
    command += ["--map", *mapping] if mapping else []
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        peaks: dict[int, float] = {}
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, done))
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
    if process.returncode != 0:
        raise RuntimeError(f"ingest of {places} ended with status {process.returncode}")
    report = json.loads(output.splitlines()[-1])
    return int(report["events_per_s"]), max(peaks.values())


def _watch(pid: int, peaks: dict[int, float], done: threading.Event) -> None:
    """Keep the highest resident size of a process and all below it, in MiB by process id."""
    while not done.wait(SAMPLE_S):
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            continue
        for process in family:
            peaks[process.pid] = max(peaks.get(process.pid, 0.0), _peak_mb(process.pid))


def _peak_mb(pid: int) -> float:
    """``VmHWM``: the kernel's own high-water mark, so that no peak falls between two samples."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            found = [line for line in file if line.startswith("VmHWM:")]
    except OSError:
        return 0.0
    return int(found[0].split()[1]) / 1024 if found else 0.0
