"""The picture of a training run: what was learned about forgetting, as one HTML file beside it."""

from __future__ import annotations

from plotly.offline import get_plotlyjs

from pipelines.train_files import Chunk, read_rows
from pipelines.train_run import Run
from pipelines.train_worker import Shared
from recsys.bundle import BundleDraft
from recsys.interest.model import ItemTable
from recsys.settings import Settings
from recsys.training.export import Exported
from recsys.training.picture import Subject, picture
from recsys.training.picture_course import Course
from recsys.training.picture_readings import typical_events

_SHOWN = ("train_s", "n_events", "total_steps", "stopped", "clamped_half_lives_s")


def subject_of(
    run: Run, chunk: Chunk, shared: Shared, result: Exported, settings: Settings
) -> Subject:
    """Who sits for the picture.

    Args:
        run: that was trained.
        chunk: a file of its staged rows, which are there until it is finished; the typical user
            is taken from it.
        shared: what its workers read.
        result: what came out.
        settings: of the job.
    """
    return Subject(
        model=result.model,
        settings=settings.model_copy(update={"interest": result.interest}),
        items=ItemTable(result.vectors, result.warm),
        typical=typical_events(read_rows(run.store, chunk.path), settings.data.kinds),
        began_s=shared.whole.half_lives_s,
        negative_began_s=shared.whole.negative_half_lives_s,
    )


def write_picture(run: Run, subject: Subject, draft: BundleDraft) -> str:
    """Draw the picture.

    Args:
        run: beside which it is put.
        subject: who sits.
        draft: the bundle, with its figures.

    Returns:
        The path in the store.
    """
    metrics = draft.metrics
    more = {name: metrics[name] for name in _SHOWN if name in metrics}
    course = Course(metrics.get("history", ()), {**draft.quality, **more})
    path = f"{run.prefix}/report.html"
    run.store.write(path, picture(subject, course, get_plotlyjs(), draft.graph).encode())
    return path
