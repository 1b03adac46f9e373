"""Moving a tenant's pointer: the new bundle's profiles first, then the pointer.

Whatever is killed on the way leaves the old bundle published with its profiles untouched, and what
was done already is found again by the next run. The pointer is swapped only if it still stands
where the decision saw it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pipelines import bootstrap
from pipelines.job import Job, working
from pipelines.publish_compare import MIN_QUERIES, Pair
from recsys.bundle import load_bundle
from recsys.bundle_manifest import load_manifest
from recsys.bundles import move, published, quality_of
from recsys.errors import ConfigError, ConflictError, NotFoundError
from recsys.ledger import open_ledger
from recsys.readiness import Readiness, readiness_of

REDEPLOY = "A running application serves its old bundle until it is deployed again."
_NOTHING = "It was the published one already."
_ATTEMPTS = 3


@dataclass(frozen=True)
class PromoteOptions:
    """How careful a promotion is."""

    bootstrap: bool = True
    """False refuses a bundle whose profiles are not there yet."""
    if_better: bool = False
    """True refuses a bundle that is worse than the published one."""


def promote(job: Job, bundle_id: str, options: PromoteOptions | None = None) -> dict[str, Any]:
    """Make a bundle the published one; its profiles come first.

    Args:
        job: store, ledger, tenant and settings.
        bundle_id: which bundle.
        options: how careful.

    Returns:
        ``bundle_id``, ``was`` (published before), ``moved``, ``bootstrap`` (its report; None where
        the profiles were there), ``profiles`` and ``compared`` (None unless asked for).

    Raises:
        NotFoundError: if there is no such bundle, or no profiles and ``bootstrap`` is False.
        ConfigError: if it is worse, or cannot be compared, and ``if_better`` was asked for.
        ConflictError: if another bundle was published meanwhile.
    """
    options = options or PromoteOptions()
    seen = published(job.store, job.tenant)
    load_manifest(job.store, job.tenant, bundle_id)
    checked = None
    if options.if_better and seen.bundle_id not in (None, bundle_id):
        checked = _check_better(job, str(seen.bundle_id), bundle_id)
    folded, profiles = _with_profiles(job, bundle_id, options.bootstrap)
    moved = seen.bundle_id != bundle_id
    if moved:
        move(job.store, job.tenant, bundle_id, seen)
    return {
        "bundle_id": bundle_id,
        "was": seen.bundle_id,
        "moved": moved,
        "bootstrap": folded,
        "profiles": profiles.as_dict(),
        "compared": checked,
        "note": REDEPLOY if moved else _NOTHING,
    }


def rollback(job: Job, to: str | None = None, refold: bool = True) -> dict[str, Any]:
    """Go back to an earlier bundle whose profiles are there.

    Args:
        job: store, ledger, tenant and settings.
        to: which bundle; None = the parent of the published one.
        refold: False goes back at once, even where events were ingested into the archive since the
            profiles were saved, which they lack then; True folds the record again in that case.

    Returns:
        ``bundle_id``, ``was``, ``moved``, ``bootstrap``, ``profiles`` and ``events``: in words,
        what happens with those that came since.

    Raises:
        NotFoundError: if nothing is published, or the bundle or its profiles are not there.
        ConfigError: if the published bundle has no parent.
        ConflictError: if another bundle was published meanwhile.
    """
    seen = published(job.store, job.tenant)
    target = to or _parent(job, seen.bundle_id)
    load_bundle(job.store, job.tenant, target)  # every file of it is sound
    profiles = _readiness(job, target)
    _check_complete(job, target, profiles)
    folded = None
    if not profiles.is_exact and refold:
        folded, profiles = _with_profiles(job, target, fold=True)
    moved = seen.bundle_id != target
    if moved:
        move(job.store, job.tenant, target, seen)
    return {
        "bundle_id": target,
        "was": seen.bundle_id,
        "moved": moved,
        "bootstrap": folded,
        "profiles": profiles.as_dict(),
        "events": profiles.in_words(),
        "note": REDEPLOY if moved else _NOTHING,
    }


def _check_better(job: Job, old: str, new: str) -> dict[str, Any]:
    """The figures of both; refused where the new one is worse.

    Figures of the same split are compared as they stand in the manifests; else both bundles are
    asked about the events that came after either was made.
    """
    manifests = [load_manifest(job.store, job.tenant, bundle_id) for bundle_id in (old, new)]
    before, after = (quality_of(manifest) for manifest in manifests)
    if before is not None and after is not None and before.asked == after.asked:
        found: dict[str, Any] = {"split": after.split, "ndcg10": [before.ndcg10, after.ndcg10]}
    else:
        with working("compare on the events that neither bundle knew"):
            later = Pair(job, old, new).later()
        if later is None:
            raise ConfigError(
                f"bundle {new}",
                f"cannot be compared with {old}: their figures are of different splits, and fewer "
                f"than {MIN_QUERIES} queries came after both",
                "Promote it without --if-better, or wait for events",
            )
        found = {"split": f"events since {later['since']:.0f}", **later}
    worse, better = found["ndcg10"]
    if better < worse:
        raise ConfigError(
            f"bundle {new}",
            f"is worse than the published {old}: NDCG@10 {better:.4f} against {worse:.4f} "
            f"({found['split']})",
            "Promote it without --if-better to publish it all the same",
        )
    return found


def _with_profiles(job: Job, bundle_id: str, fold: bool) -> tuple[dict[str, Any] | None, Readiness]:
    """Make the profiles of a bundle exact; nothing else is touched.

    Returns:
        The report of the fold (None where they were exact), and what is there now.
    """
    report = None
    for _ in range(_ATTEMPTS):
        profiles = _readiness(job, bundle_id)
        if profiles.is_exact:
            return report, profiles
        if not fold:
            _check_complete(job, bundle_id, profiles)
            return report, profiles
        report = bootstrap.run(job, bundle_id)
    profiles = _readiness(job, bundle_id)
    if not profiles.is_exact:
        raise ConflictError(
            f"profiles of bundle {bundle_id}", "fall behind while they are folded", "Run it again"
        )
    return report, profiles


def _readiness(job: Job, bundle_id: str) -> Readiness:
    with closing(open_ledger(job.ledger_url)) as ledger:
        return readiness_of(job.store, ledger, job.tenant, bundle_id)


def _check_complete(job: Job, bundle_id: str, profiles: Readiness) -> None:
    if not profiles.is_complete:
        raise NotFoundError(
            f"profiles of bundle {bundle_id}",
            f"are there for {profiles.n_partitions - len(profiles.missing)} of "
            f"{profiles.n_partitions} partitions",
            f"Run `python -m pipelines.publish promote {bundle_id} --store {job.store.uri}`, "
            "which makes them first",
        )


def _parent(job: Job, current: str | None) -> str:
    manifest = load_manifest(job.store, job.tenant, current)
    if manifest["parent"] is None:
        raise ConfigError(
            f"bundle {current}", "has no parent to roll back to", "Name one: rollback --to ID"
        )
    return str(manifest["parent"])
