"""Forgetting who was erased while their partitions are served."""

from __future__ import annotations

from recsys.rights.erasures import erasures_of
from serving.pool.holdings import Holdings
from serving.pool.partition import caught_up


def forget_erased(holdings: Holdings) -> tuple[int, ...]:
    """See ``Shard.forget``."""
    ledger, tenant = holdings.ground.ledger, holdings.ground.tenant
    if not _unaware(holdings, ledger.erasure_version(tenant)):
        return ()
    erasures = erasures_of(ledger, tenant)
    with holdings.commits:
        pass  # what the ledger took before the erasure is folded now, and it takes none after
    concerned = []
    for number in _unaware(holdings, erasures.version):
        with holdings.lock:
            partition = holdings.partitions.get(number)
            users = [] if partition is None else list(partition.table.all_user_ids())
        if erasures.among(users):
            _fold_anew(holdings, number)
            concerned.append(number)
        elif partition is not None:
            with holdings.lock:
                partition.position = partition.position.knowing(erasures.version)
    return tuple(concerned)


def _unaware(holdings: Holdings, version: int) -> list[int]:
    """Partitions that were not looked through for who was erased."""
    with holdings.lock:
        return [n for n, p in holdings.partitions.items() if p.position.erasures < version]


def _fold_anew(holdings: Holdings, number: int) -> None:
    """Commits wait only while the last events are folded."""
    loaded = caught_up(holdings.ground, None, number)
    with holdings.commits, holdings.lock:
        if number in holdings.partitions:
            holdings.put(caught_up(holdings.ground, loaded, number))
