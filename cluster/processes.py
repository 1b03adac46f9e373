"""Processes that we started: every one carries a tag in its environment, so all can be found.

A child inherits the environment, so the tag marks whole families, also those whose parents died.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from recsys.errors import ConfigError

TAG = "HALFLIFE_CLUSTER_ID"


def start(command: Sequence[str], tag: str, log: Path, environ: Mapping[str, str]) -> int:
    """Start a tagged process of its own session, its output in a file; return its id."""
    with open(log, "ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environ, TAG: tag},
            start_new_session=True,
        )
    return process.pid


def tagged(tag: str) -> list[psutil.Process]:
    """All living processes with a tag, but this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_ours = process.environ().get(TAG) == tag and process.pid != os.getpid()
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_alive(pid: int, tag: str) -> bool:
    """Whether a process runs and is the tagged one, not another that got its number."""
    try:
        process = psutil.Process(pid)
        return process.environ().get(TAG) == tag and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def end(pid: int, tag: str, grace_s: float) -> int:
    """End a tagged process politely, then whatever is left of its family; return how many.

    Args:
        pid: the first of the family; asked with SIGTERM.
        tag: of the family.
        grace_s: seconds that it gets to end the others itself.
    """
    n_before = len(tagged(tag))
    if is_alive(pid, tag):
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).terminate()
    _wait_until_gone(tag, grace_s)
    for process in tagged(tag):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _wait_until_gone(tag, 10.0)
    with contextlib.suppress(ChildProcessError):  # where we are the parent, no zombie stays
        os.waitpid(pid, os.WNOHANG)
    return n_before


def free_port(host: str) -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Make sure that a port can be listened on.

    Raises:
        ConfigError: if it is in use, or not ours to use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host}",
                f"cannot be used ({error.strerror})",
                "End what listens there, or choose another with --port (0 = any free one)",
            ) from error


def _wait_until_gone(tag: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while len(tagged(tag)) > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
