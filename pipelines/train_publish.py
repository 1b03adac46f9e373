"""What a training run is asked, what it works on, and the bundle that comes out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pipelines import train_phases
from pipelines.catalog_graph import graph_of_record
from pipelines.catalog_segments import segments_of_record
from pipelines.job import Job, timed
from pipelines.promotion import promote
from pipelines.train_phases import Progress, Sizes
from recsys.bundle import BundleDraft, publish_bundle
from recsys.catalog import Catalog
from recsys.encoder.weights import EncoderFiles
from recsys.interest.model import ItemTable
from recsys.ranking import default_weights
from recsys.retrieval import build_index
from recsys.training.export import Exported
from recsys.training.options import TrainSettings


@dataclass(frozen=True)
class Options:
    """What a run is asked besides its settings."""

    until: float | None = None
    """Unix seconds; nothing at or after this time is used (None = everything)."""
    publish: bool = True
    """False writes the bundle, and leaves the tenant's pointer and profiles where they are."""
    fresh: bool = False
    """True forgets an unfinished run of this name."""
    name: str = "train"
    """Of the run."""
    spent_s: float = 0.0
    """Seconds that the command took before the run began; ``train.budget_s`` counts them."""


@dataclass(frozen=True)
class Plan:
    """What a run works on from its beginning to its end, however often it is resumed."""

    catalog: Catalog
    texts: tuple[str, ...]
    """The texts of events that are read."""
    until: float
    data_until: float
    tail_start: float | None
    resumed: bool
    began_at: float
    """Unix seconds from which ``train.budget_s`` counts: the command's start, and earlier by what
    was trained before an interruption."""


def draft_of(
    job: Job, plan: Plan, options: Options, result: Exported, encoder: EncoderFiles | None
) -> BundleDraft:
    """The bundle of a trained model."""
    settings = job.settings.model_copy(update={"interest": result.interest})
    items = ItemTable(result.vectors, result.warm)
    graph = graph_of_record(job, plan.catalog, items, plan.until, plan.data_until)
    segments = segments_of_record(job, plan.catalog, plan.until, plan.data_until)
    return BundleDraft(
        catalog=plan.catalog,
        vectors=result.vectors,
        projection=result.projection,
        index=build_index(result.vectors, settings.retrieval),
        weights=default_weights(settings.interest, settings.trend),
        settings=settings,
        data_until=plan.data_until,
        until=options.until,
        encoder=encoder,
        warm=result.warm,
        model=result.model,
        neighbours=result.transitions,
        graph=graph,
        segments=segments,
        metrics={
            "n_items": len(plan.catalog),
            "n_warm": int(result.warm.sum()),
            "n_event_texts": len(plan.texts),
            "n_interests": 0 if graph is None else len(graph),
            "half_lives_s": [round(life, 1) for life in result.interest.half_lives_s],
            "clamped_half_lives_s": list(result.clamped),
        },
    )


def with_figures(
    draft: BundleDraft, train: TrainSettings, progress: Progress, sizes: Sizes
) -> BundleDraft:
    """The draft with how good the model is, and how it came about."""
    best = progress.best
    quality = {
        "split": "validation tail of training",
        "ndcg10": best.best_ndcg if best.curve else None,
        "stale_share": best.stale_share,
        "n_epochs": progress.refit_epochs or best.best_epoch,
        "advice": train_phases.advice(progress, train),
    }
    metrics = {
        **draft.metrics,
        "n_events": sizes.events,
        "train_s": round(progress.spent_s, 1),
        "total_steps": progress.total_steps,
        "stopped": progress.stopped,
        "history": list(progress.history),
    }
    return BundleDraft(**{**vars(draft), "quality": quality, "metrics": metrics})


def publish(
    job: Job, draft: BundleDraft, options: Options, stages: dict[str, float]
) -> dict[str, Any]:
    """Write the bundle, and publish it where that was asked for: its profiles come first.

    Args:
        job: store, ledger and tenant.
        draft: the bundle.
        options: of the run.
        stages: get the seconds of ``publish`` and ``promote``.

    Returns:
        ``bundle_id`` and ``promoted``: the report of the promotion, or None.

    Raises:
        ConflictError: if another bundle was published meanwhile.
    """
    with timed(stages, "publish"):
        manifest = publish_bundle(job.store, job.tenant, draft, time.time(), promote=False)
    bundle_id, promoted = manifest["bundle_id"], None
    if options.publish:
        with timed(stages, "promote"):
            promoted = promote(job, bundle_id)
    return {"bundle_id": bundle_id, "promoted": promoted}
