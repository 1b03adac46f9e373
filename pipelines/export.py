"""Everything that is held about a user: ``python -m pipelines.export --store S --user U``."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    command_line,
    finish,
    main,
    open_job,
    working,
)
from recsys.archive import Archive
from recsys.errors import ConfigError
from recsys.ledger import open_ledger
from recsys.rights.exporting import held
from recsys.rights.staged import outputs

app = command_line()


def run(job: Job, user_id: str) -> dict[str, Any]:
    """All that store, ledger and known batch outputs hold about a user of the job's tenant.

    Args:
        job: store, ledger, tenant and settings.
        user_id: whom.

    Returns:
        See ``recsys.rights.exporting.held``, with ``outputs``: path and rows of each.

    Raises:
        NotFoundError: if nothing was ever ingested into the store.
    """
    now = time.time() + job.settings.serving.clock_offset_s
    with closing(open_ledger(job.ledger_url)) as ledger:
        found = held(Archive(job.store), ledger, (job.tenant, user_id), job.settings, now)
    return {**found, "outputs": _outputs(job, user_id)}


def _outputs(job: Job, user_id: str) -> list[dict[str, Any]]:
    found = []
    for path in outputs(job.store):
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid):
            continue  # on another machine, moved, or broken
        rows = table.filter(pc.equal(table["user_id"], user_id)).to_pylist()
        if len(rows) > 0:
            found.append({"path": path, "rows": rows})
    return found


@app.command()
def export(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    user: Annotated[str, typer.Option("--user", help="Id of the user, as in events.")],
    output: Annotated[
        str | None, typer.Option("--output", help="File to write; default: to stdout.")
    ] = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Print as JSON what is held about a user: events, profiles, attributes, quarantine, outputs.

    Example: python -m pipelines.export --store S --user U --output U.json
    """
    with working("export"):
        found = run(open_job(store, ledger, tenant, config, assignments), user)
    if output is None:
        finish(found)
        return
    text = json.dumps(found, sort_keys=True, indent=1, default=str)
    try:
        Path(output).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {output}", f"cannot be written ({error})") from error
    finish({"user_id": user, "output": output, "n_events": len(found["events"])})


if __name__ == "__main__":
    main(app)
