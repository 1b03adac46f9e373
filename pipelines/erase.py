"""Erase a user from all that is stored: ``python -m pipelines.erase --store S --user U``.

The steps are those of ``recsys.rights.erasing``; here stand the files outside of the store (batch
outputs, profiles that shards of this machine evicted), and the signed receipt. A command that was
cut short is run again: it does what was left undone. It needs no Ray, and the service may run.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.erase_files import remove_from_files, remove_spilled
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
    progress,
)
from recsys.archive import Archive
from recsys.errors import ConfigError, DataError
from recsys.ledger import ERASURE_KEY, erasure_pseudonym, open_ledger
from recsys.rights.erasing import Erasing, Who
from recsys.rights.receipts import RECEIPT_KEY, is_genuine, registered_key, signed

app = command_line()


def run(job: Job, user_id: str, files: Sequence[str] = ()) -> dict[str, Any]:
    """Erase a user of the job's tenant.

    Args:
        job: store, ledger, tenant and settings.
        user_id: whom.
        files: batch outputs outside of the store that the store does not know of.

    Returns:
        ``receipt`` (signed), ``left``: what could not be rewritten, each with ``place``, ``path``
        and ``why``, and ``shards_forget_within_s``: running shards look at the ledger this often.

    Raises:
        NotFoundError: if nothing was ever ingested into the store.
        ConfigError: if the user's id is empty.
    """
    if user_id == "":
        raise ConfigError("--user", "is empty", "Give the id of the user as events have it")
    began = _now(job)
    archive = Archive(job.store)
    with closing(open_ledger(job.ledger_url)) as ledger:
        key = registered_key(ledger, ERASURE_KEY, secrets.token_hex(32))
        receipt_key = registered_key(ledger, RECEIPT_KEY, secrets.token_hex(32))
        who = Who(job.tenant, user_id, key, began)
        erasing = Erasing(archive, ledger, who, job.settings)
        with progress("erase", total=len(erasing.steps) + 2) as advance:
            for step in erasing.steps.values():
                step()
                advance(1)
            remove_from_files(job, erasing, user_id, files)
            advance(1)
            remove_spilled(job, erasing, user_id, archive.n_partitions)
            advance(1)
        job.store.settle()
    return {
        "receipt": signed(receipt_key, erasing.receipt(began, _now(job))),
        "left": [{"place": p, "path": path, "why": why} for p, path, why in erasing.left],
        "shards_forget_within_s": job.settings.serving.lease_s / 4,
    }


def verify(job: Job, receipt: str | Path, user_id: str | None = None) -> dict[str, Any]:
    """Look whether a receipt is genuine.

    Args:
        job: the ledger that signed it.
        receipt: file with the receipt, or with all that the erasure printed.
        user_id: whose it should be; None = anybody's.

    Returns:
        ``is_genuine``, ``is_of_user`` (None if no user was given) and ``erased_until``.

    Raises:
        DataError: if the file holds no receipt.
    """
    try:
        tree = json.loads(Path(receipt).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"receipt {receipt}", f"cannot be read ({error})", _REMEDY) from error
    found = tree.get("receipt", tree) if isinstance(tree, dict) else None
    if not isinstance(found, dict):
        raise DataError(f"receipt {receipt}", "is no receipt", _REMEDY)
    with closing(open_ledger(job.ledger_url)) as ledger:
        keys = [ledger.get_value(name) for name in (RECEIPT_KEY, ERASURE_KEY)]
    sound = keys[0] is not None and is_genuine(keys[0][0], found)
    mine = None
    if user_id is not None:
        name = "" if keys[1] is None else erasure_pseudonym(keys[1][0], job.tenant, user_id)
        mine = (found.get("tenant"), found.get("pseudonym")) == (job.tenant, name)
    return {
        "is_genuine": sound,
        "is_of_user": mine,
        "erased_until": found.get("erased_until"),
    }


_REMEDY = "Give the file with the JSON that `python -m pipelines.erase` printed"


def _now(job: Job) -> float:
    return time.time() + job.settings.serving.clock_offset_s


@app.command()
def erase(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    user: Annotated[
        str | None, typer.Option("--user", help="Id of the user, as in events.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            help="A Parquet file with user ids that `recommend` wrote on another machine or that"
            " was moved since; may be repeated.",
        ),
    ] = None,
    check: Annotated[
        str | None, typer.Option("--verify", help="Check a receipt instead of erasing.")
    ] = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Erase a user everywhere: ledger, archive, snapshots, trend, quarantine, staged training.

    Prints a signed receipt. Exit status 3: some files could not be rewritten, and `left` names
    them; run it again when what uses them is over. It can be run again at any time. Running shards
    forget the user by themselves within a moment (`shards_forget_within_s`, and a reload); trained
    weights stay until the next training.

    Example: python -m pipelines.erase --store S --user U > receipt.json

    Then: python -m pipelines.erase --store S --verify receipt.json --user U
    """
    job = open_job(store, ledger, tenant, config, assignments)
    if check is not None:
        verdict = verify(job, check, user)
        finish(verdict)
        raise typer.Exit(0 if verdict["is_genuine"] and verdict["is_of_user"] is not False else 1)
    if user is None:
        raise ConfigError("erase", "has nobody to erase", "Give --user, or --verify RECEIPT")
    report = run(job, user, output or ())
    finish(report)
    for left in report["left"]:
        console.print(f"[yellow]left[/] {left['path']}: {left['why']}", soft_wrap=True)
    raise typer.Exit(3 if report["left"] else 0)


if __name__ == "__main__":
    main(app)
