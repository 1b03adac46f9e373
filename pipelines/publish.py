"""Choose which bundle is served: ``python -m pipelines.publish list|promote|rollback|diff``.

    promote    fold the record into the bundle's profiles -> then move the pointer
    rollback   move the pointer back to a bundle whose profiles are there

The pointer moves last and by compare-and-swap: whatever is killed on the way leaves the old bundle
published, and of two promotions at once one is refused. A running application serves the bundle
that it was started with until it is deployed again.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    command_line,
    console,
    finish,
    main,
    open_job,
    working,
)
from pipelines.promotion import PromoteOptions, promote, rollback
from pipelines.publish_compare import Pair
from pipelines.publish_tables import diff_tables, list_table
from recsys.archive import store_partitions
from recsys.bundle import load_bundle
from recsys.bundles import (
    catalog_overlap,
    compared,
    list_bundles,
    model_of,
    slate_overlap,
    vector_drift,
)


def list_all(job: Job) -> dict[str, Any]:
    """All bundles of the tenant.

    Returns:
        ``current`` (None before the first), ``n_partitions`` and ``bundles``, the newest first.
    """
    lines = list_bundles(job.store, job.tenant)
    now = time.time()
    return {
        "tenant": job.tenant,
        "current": next((line.bundle_id for line in lines if line.is_current), None),
        "n_partitions": store_partitions(job.store) if len(lines) > 0 else 0,
        "bundles": [line.as_dict(now) for line in lines],
    }


def diff(job: Job, a: str, b: str, n_users: int = 200) -> dict[str, Any]:
    """What sets two bundles apart; differences are b less a, pairs are [a, b].

    Args:
        job: store, ledger, tenant and settings.
        a: id of one bundle.
        b: id of the other one.
        n_users: users whose slates are compared, drawn; 0 = none.

    Returns:
        ``settings``, ``half_lives_s``, ``weights``, ``quality``, ``ndcg10_difference``, ``models``,
        ``data_until``, ``items``, ``vectors`` (None where dimensions differ), ``slates`` (at the
        older bundle's latest event) and ``later`` (NDCG@10 of both on events that neither knew;
        None where there are too few).

    Raises:
        NotFoundError: if a bundle does not exist.
    """
    left, right = (load_bundle(job.store, job.tenant, bundle_id) for bundle_id in (a, b))
    found = {
        "bundles": [a, b],
        "models": [model_of(x.manifest) for x in (left, right)],
        "data_until": [left.data_until, right.data_until],
        **compared(left.manifest, right.manifest),
        "items": catalog_overlap(left.catalog, right.catalog),
        "vectors": vector_drift(left, right),
        "slates": None,
        "later": None,
    }
    if n_users > 0:
        with working("ask both bundles"):
            pair = Pair(job, a, b)
            found["slates"] = {"as_of": pair.moment, **slate_overlap(*pair.slates(n_users))}
            found["later"] = pair.later()
    return found


app = command_line("Choose which bundle is served.")

BundleArgument = Annotated[str, typer.Argument(help="Bundle id; `list` shows them.")]


@app.command("list")
def list_command(
    store: StoreOption,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """All bundles with their age, quality and profiles.

    Example: python -m pipelines.publish list --store S
    """
    report = list_all(open_job(store, ledger, tenant, config, assignments))
    console.print(list_table(report))
    finish(report)


@app.command("promote")
def promote_command(  # noqa: PLR0913, PLR0917 - the options of the command
    bundle: BundleArgument,
    store: StoreOption,
    bootstrap: Annotated[
        bool, typer.Option(help="Fold the record into its profiles first.")
    ] = True,
    if_better: Annotated[bool, typer.Option("--if-better", help="Refuse a worse one.")] = False,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Publish a bundle: its profiles first, then the pointer.

    Example: python -m pipelines.publish promote 0123456789abcdef --store S --if-better
    """
    job = open_job(store, ledger, tenant, config, assignments)
    finish(promote(job, bundle, PromoteOptions(bootstrap, if_better)))


@app.command("rollback")
def rollback_command(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    to: Annotated[str | None, typer.Option(help="Bundle id; default: the parent.")] = None,
    refold: Annotated[
        bool, typer.Option(help="Fold again where events were ingested since.")
    ] = True,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Publish the parent again, or another earlier bundle.

    Example: python -m pipelines.publish rollback --store S
    """
    report = rollback(open_job(store, ledger, tenant, config, assignments), to, refold)
    console.print(f"{report['was']} -> {report['bundle_id']}: {report['events']}", highlight=False)
    finish(report)


@app.command("diff")
def diff_command(  # noqa: PLR0913, PLR0917 - the options of the command
    a: BundleArgument,
    b: BundleArgument,
    store: StoreOption,
    users: Annotated[int, typer.Option(help="Users whose slates are compared.", min=0)] = 200,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Settings, half-lives, quality, vectors and slates of two bundles.

    Example: python -m pipelines.publish diff A B --store S
    """
    report = diff(open_job(store, ledger, tenant, config, assignments), a, b, users)
    for table in diff_tables(report):
        console.print(table)
    finish(report)


if __name__ == "__main__":
    main(app)
