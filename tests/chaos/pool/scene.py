"""Where runs take place: a store with a bundle, and a ledger of the kind that a plan asks for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys.archive import create_store
from recsys.bundle import load_bundle
from recsys.ledger import Owner, open_ledger
from recsys.schema import DEFAULT_TENANT
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from serving.pool.leases import Leases
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.spec import PoolSpec
from tests.chaos.pool.checker import Oracle
from tests.chaos.pool.faulty import audit
from tests.chaos.pool.history import Seen
from tests.chaos.pool.load import AS_OF, ITEMS, START, USERS, seen
from tests.chaos.pool.plan import GROUPED, N_PARTITIONS, POSTGRES, TMPFS
from tests.postgres import PostgresServer

TMPFS_BYTES = 96 << 20
"""The journal of a SQLite ledger takes 64 megabytes before it is used again."""
TEXTS = {item: f"word{n % 4} word{n % 7} word{n}" for n, item in enumerate(ITEMS)}


class Scenes:
    """Makes a scene per run from one store.

    Args:
        folder: for everything.
        postgres: a server for the runs that want one.
        lease_s: of the shards.
        failover_s: that a shard may be away.
        attempt_timeout_s: of the clients.
    """

    def __init__(
        self,
        folder: Path,
        postgres: PostgresServer | None,
        lease_s: float = 0.25,
        failover_s: float = 0.35,
        attempt_timeout_s: float = 0.6,
    ) -> None:
        self._folder, self.postgres = folder, postgres
        self.settings = load(
            assignments=[
                "encoder.n_dims=8",
                "serving.snapshot_every_s=1.0",
                f"serving.lease_s={lease_s}",
                f"serving.failover_s={failover_s}",
                f"serving.attempt_timeout_s={attempt_timeout_s}",
            ]
        )
        store = Store(str(folder / "store"))
        create_store(store, N_PARTITIONS)
        self._bundle_id = tiny_bundle(
            store, tiny_items(TEXTS), START - 1e6, self.settings
        ).bundle_id
        self.has_tmpfs = _can_mount(folder)

    @contextmanager
    def new(
        self, number: int, kind: str, n_shards: int, standby: bool = False
    ) -> Iterator[tuple[Path, PoolSpec]]:
        """Folder and pool of a run; the folder is removed at the end."""
        run = self._folder / str(number)
        run.mkdir()
        try:
            with _mounted(run / "ledger", kind == TMPFS):
                shutil.copytree(self._folder / "store", run / "store")
                url = self._ledger(run, kind)
                open_ledger(url).close()
                audit(url)
                chosen = {"n_shards": n_shards, "standby": standby}
                yield run, self._spec(str(run / "store"), url, chosen)
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def _ledger(self, run: Path, kind: str) -> str:
        if kind == POSTGRES:
            assert self.postgres is not None
            return self.postgres.new_database()
        options = "?groups=3" if kind == GROUPED else ""
        return f"sqlite:///{run}/ledger/ledger.db{options}"

    def _spec(self, store_uri: str, url: str, chosen: Mapping[str, Any]) -> PoolSpec:
        serving = self.settings.serving.model_copy(update=chosen)
        settings = self.settings.model_copy(update={"serving": serving})
        return PoolSpec(store_uri, url, DEFAULT_TENANT, self._bundle_id, N_PARTITIONS, settings)


def oracle_of(settings: Settings) -> Oracle:
    """What masses shall be."""
    return Oracle(settings.interest.half_lives_s, settings.interest.importance)


def recovered(spec: PoolSpec, moment: float) -> list[Seen]:
    """What a new process finds when all others are dead."""
    bundle = load_bundle(Store(spec.store_uri), spec.tenant, spec.bundle_id)
    ground = Ground.of(bundle, open_ledger(spec.ledger_url), spec.settings)
    owner = Owner("heir", _host(ground), "the heir", 0.1)
    shard = Shard(ground, spec.n_partitions, Leases(ground.ledger, spec.tenant, owner, gone=_dead))
    served = shard.open(range(spec.n_partitions))
    assert len(served) == spec.n_partitions, f"served: {served}; {shard.failed()}"
    views = shard.read(USERS, AS_OF)
    ground.ledger.close()
    return [seen(view, moment, moment) for view in views]


def _host(ground: Ground) -> str:
    owners = list(ground.ledger.owners(ground.tenant).values())
    return owners[0][0].host if owners else "here"


def _dead(_: Owner) -> bool:
    return True


@contextmanager
def _mounted(folder: Path, is_small: bool) -> Iterator[None]:
    folder.mkdir()
    if not is_small:
        yield
        return
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", folder], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _can_mount(folder: Path) -> bool:
    if shutil.which("mount") is None:
        return False
    place = Path(tempfile.mkdtemp(dir=folder))
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True
