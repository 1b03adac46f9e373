"""The ranking model of a trained bundle, fitted on the tail that the pilot did not learn from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from pipelines.job import Job, timed, working
from pipelines.train_publish import Plan
from pipelines.train_result import result_of
from pipelines.train_run import Run
from recsys.archive import Archive
from recsys.bundle import BundleDraft
from recsys.events import event_arrays
from recsys.graph.interest_graph import InterestGraph, unconnected
from recsys.interest.model import ItemTable
from recsys.ledger import open_ledger
from recsys.ranker.model import Ranker
from recsys.ranker.tail import Encoder, Record, ranker_of_tail
from recsys.record import read_all
from recsys.training.export import Exported
from recsys.training.surroundings import Texts
from recsys.words import Words

_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text"]


def with_ranker(
    job: Job,
    run_: Run,
    plan: Plan,
    draft: BundleDraft,
    texts: Texts,
    stages: dict[str, float],
) -> BundleDraft:
    """The draft with a ranking model; without one where there is nothing to fit it on.

    Args:
        job: store, ledger, tenant and settings.
        run_: holds the pilot.
        plan: of the run.
        draft: of the bundle.
        texts: vectors of the events' texts.
        stages: get the seconds of ``rank``.
    """
    options, found = job.settings.ranker, run_.pilot()
    if options.kind == "none" or found is None or plan.tail_start is None:
        return draft
    if draft.metrics["n_events"] > options.max_events:
        return draft
    with timed(stages, "rank"), working("fit the ranking model"):
        pilot = result_of(found, job.settings)
        return replace(draft, ranker=_fitted(job, plan, pilot, texts))


def _fitted(job: Job, plan: Plan, pilot: Exported, texts: Texts) -> Ranker | None:
    words = None
    if texts.events is not None and pilot.model.reads_text:
        words = Words.of(pilot.model, plan.texts, texts.events)
    with closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(Archive(job.store), ledger, job.tenant, plan.until, _COLUMNS)
    events = event_arrays(table, plan.catalog.index, None if words is None else words.index)
    items = ItemTable(pilot.vectors, pilot.warm)
    encoder = Encoder(
        items,
        pilot.model,
        pilot.interest,
        pilot.transitions,
        None if words is None else words.table,
    )
    record = Record(events, plan.catalog, _graph(job, plan, items))
    return ranker_of_tail(record, encoder, job.settings, plan.tail_start)


def _graph(job: Job, plan: Plan, items: ItemTable) -> InterestGraph | None:
    """The interests of the pilot's vectors; what leads where is counted when they are read."""
    if not job.settings.graph.use:
        return None
    begun = unconnected(plan.catalog, items, job.settings.graph, plan.data_until)
    return begun.connected([])
