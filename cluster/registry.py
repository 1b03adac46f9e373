"""Which service runs for which store on this machine: one small file per store and tenant."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.downloads import cache_folder
from pipelines.job import Job
from recsys.notes import note_path


@dataclass(frozen=True)
class LocalCluster:
    """A service that runs."""

    url: str
    """Where it answers."""
    store: str
    tenant: str
    id: str
    """Tag of its processes; empty where it runs on the Ray of the calling process."""
    pid: int
    """First of its processes."""
    folder: str
    """Ray's session, settings and log."""
    was_up: bool = False
    """True: it ran already when it was asked for."""

    @property
    def log(self) -> Path:
        """What it says."""
        return Path(self.folder) / "log.txt"


def path_of(job: Job) -> Path:
    """Inside a local store; for a remote one in the cache folder of this user."""
    return note_path(job.store, job.tenant, "json", cache_folder())


def read(job: Job) -> LocalCluster | None:
    """What was noted; the process may be gone since."""
    path = path_of(job)
    try:
        state = LocalCluster(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    # a copied store brings the state of its original along
    return state if state.store == job.store.uri else None


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Hold other ``up`` and ``down`` of this store and tenant off."""
    path = path_of(job).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write(job: Job, running: LocalCluster) -> None:
    """Note a service."""
    path_of(job).parent.mkdir(parents=True, exist_ok=True)
    path_of(job).write_text(json.dumps(asdict(running), indent=1), encoding="utf-8")


def forget(job: Job) -> None:
    """Note that there is none."""
    path_of(job).unlink(missing_ok=True)
