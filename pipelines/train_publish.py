"""What a training run is asked, what it works on, and the bundle that comes out."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines import train_phases
from pipelines.job import Job
from pipelines.train_phases import Progress, Sizes
from recsys.bundle import BundleDraft
from recsys.catalog import Catalog
from recsys.encoder.weights import EncoderFiles
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
    """False writes the bundle but leaves the tenant's pointer where it is."""
    fresh: bool = False
    """True forgets an unfinished run of this name."""
    name: str = "train"
    """Of the run."""


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


def draft_of(
    job: Job, plan: Plan, options: Options, result: Exported, encoder: EncoderFiles | None
) -> BundleDraft:
    """The bundle of a trained model."""
    settings = job.settings.model_copy(update={"interest": result.interest})
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
        metrics={
            "n_items": len(plan.catalog),
            "n_warm": int(result.warm.sum()),
            "n_event_texts": len(plan.texts),
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
