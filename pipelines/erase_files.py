"""Files outside of the store that may hold a user: batch outputs, and profiles out of memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psutil

from pipelines.job import Job
from recsys.errors import StoreError
from recsys.rights.archived import Removed
from recsys.rights.erasing import Erasing
from recsys.rights.staged import outputs, without_user
from recsys.schema import partition_of


def remove_from_files(job: Job, erasing: Erasing, user_id: str, files: Sequence[str]) -> None:
    """Rewrite the batch outputs that the store knows of, and those that are given.

    Args:
        job: the store.
        erasing: told what was removed, and what is not on this machine.
        user_id: whom.
        files: paths; each must be there.
    """
    known = [path for path in outputs(job.store) if path not in files]
    for place in [*files, *known]:
        path = Path(place)
        try:
            found = without_user(path.read_bytes(), user_id)
            if found is not None:
                _replace(path, found[0])
                erasing.removed["outputs"] += Removed(1, found[1])
        except FileNotFoundError:
            if place in files or not path.parent.exists():
                erasing.left.append(("outputs", place, "is not on this machine"))
        except (OSError, StoreError) as error:
            erasing.left.append(("outputs", place, str(error)))


def remove_spilled(job: Job, erasing: Erasing, user_id: str, n_partitions: int) -> None:
    """Delete files of evicted profiles that shards have left that died.

    A living shard drops its file when it forgets the user, a moment later.
    """
    serving = job.settings.serving
    base = tempfile.gettempdir() if serving.spill_folder is None else serving.spill_folder
    partition = partition_of(job.tenant, user_id, n_partitions)
    pattern = f"{quote(job.tenant, safe='')}-{partition}-*.spill"
    found = [
        path
        for path in sorted((Path(base) / "halflife").glob(pattern))
        if user_id.encode() in path.read_bytes()
    ]
    used = _open_files() if found else set()
    for path in found:
        if str(path.resolve()) in used:
            erasing.left.append(("spill", str(path), "a shard uses it, and drops it in a moment"))
        else:
            path.unlink(missing_ok=True)
            erasing.removed["spill"] += Removed(1)


def _open_files() -> set[str]:
    """Paths that processes of this machine have open."""
    used: set[str] = set()
    for process in psutil.process_iter():
        try:
            used.update(file.path for file in process.open_files())
        except psutil.Error:
            continue
    return used


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(path.stat().st_mode & 0o777)
    Path(name).replace(path)
