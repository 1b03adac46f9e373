"""The plan of a training run: made once, kept in the store, found again when it is resumed."""

from __future__ import annotations

import pyarrow as pa

from pipelines.job import Job, console
from pipelines.train_publish import Options, Plan
from pipelines.train_rows import survey
from pipelines.train_run import Run, identity_of
from recsys.archive import Archive
from recsys.catalog import catalog_from_items
from recsys.schema import ITEMS


def make_plan(job: Job, run_: Run, options: Options, began_at: float) -> Plan:
    """The plan of the unfinished run of this name, or a new one.

    Args:
        job: store, ledger, tenant and settings.
        run_: which run.
        options: of the run.
        began_at: the command's start, Unix seconds.

    Raises:
        DataError: if there is no event.
        ConfigError: if an unfinished run of this name was asked something else.
    """
    identity = identity_of(job.settings, options.until)
    old = None if options.fresh else run_.take_over(identity)
    if old is not None:
        console.print(f"resuming run {run_.name}", highlight=False)
        catalog = catalog_from_items(job.store.read_table(old["catalog"], sha256=old["sha256"]))
        texts = job.store.read_table(old["texts"], sha256=old["texts_sha256"])
        times = (old["until"], old["data_until"], old["tail_start"])
        said = tuple(texts["text"].to_pylist())
        return Plan(catalog, said, *times, resumed=True, began_at=began_at - run_.spent_s())
    found = survey(job, options.until)
    manifest = Archive(job.store).manifest()
    items = None if manifest is None else Archive(job.store).items(manifest, job.tenant)
    items = ITEMS.empty_table() if items is None else items
    catalog = catalog_from_items(items, found.item_ids, options.until)
    until = found.data_until + 1e-6 if options.until is None else options.until
    prefix = f"{run_.prefix}/catalog"
    path, sha256, _ = job.store.write_table(prefix, catalog.to_table(job.tenant))
    said = pa.table({"text": pa.array(found.texts, pa.string())})
    texts_path, texts_sha256, _ = job.store.write_table(prefix, said)
    tail_start = found.tail_start if job.settings.train.pilot else None
    plan = Plan(catalog, found.texts, until, found.data_until, tail_start, False, began_at)
    fixed = {name: getattr(plan, name) for name in ("until", "data_until", "tail_start")}
    files = {"catalog": path, "sha256": sha256, "texts": texts_path, "texts_sha256": texts_sha256}
    run_.begin(identity, {**files, **fixed})
    return plan
