"""Who this process is, and whether another one that is named in the ledger is surely gone.

Gone is told without any clock: a process of an earlier boot of this machine is, and one of this
boot whose number is free or was given to another. Of other machines, and of other containers of
this one, nothing is known.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

from recsys.ledger import Owner

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE, _STARTED = 2, 21  # fields of /proc/PID/stat, from 0
_DEAD = ("Z", "X")


def this_process(name: str, lease_s: float) -> Owner:
    """This process as the owner of partitions.

    Args:
        name: stable name of the shard.
        lease_s: seconds that it may answer after it last saw its epoch.
    """
    return Owner(name, _host(), _token(os.getpid()), lease_s)


def is_gone(other: Owner) -> bool:
    """Whether the process of an owner surely runs no more; False where that cannot be known."""
    if other.host != _host() or not other.process:
        return False
    boot, _, rest = other.process.partition("/")
    namespace, _, rest = rest.partition("/")
    pid = rest.partition("/")[0]
    if boot != _boot():
        return True
    if namespace != _namespace() or not pid.isdigit():
        return False
    return _token(int(pid)) != other.process


def _token(pid: int) -> str:
    """Boot, pid namespace, number and start of a living process; without a start it is dead."""
    return f"{_boot()}/{_namespace()}/{pid}/{_start(pid)}"


def _start(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text[text.rindex(")") + 2 :].split()  # the name may hold spaces
    return "" if fields[_STATE - 2] in _DEAD else fields[_STARTED - 2]


@functools.cache
def _host() -> str:
    return socket.gethostname()


@functools.cache
def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
