"""Train the interest encoder and publish it: ``python -m pipelines.train --store S``.

    record -> survey -> catalog, text vectors -> gather -> surroundings, staged rows
           -> Ray Train: pilots on events before the validation tail, refit on everything
           -> learned model, item vectors, index -> bundle -> its profiles -> the tenant's pointer

A run that was killed goes on from its last checkpoint when the command is given again; one that
lost a worker does so by itself. Nothing at or after ``--until`` is used.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import psutil
import ray
import typer
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer

from pipelines import train_phases
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
    ray_session,
    timed,
)
from pipelines.times import parse_time
from pipelines.train_board import ToBoard, error_of, new_board
from pipelines.train_device import check_cuda, scaling
from pipelines.train_display import check_mlflow, showing, sinks
from pipelines.train_files import Chunk
from pipelines.train_language import tuned_encoder
from pipelines.train_loop import train_loop
from pipelines.train_phases import Progress, Sizes
from pipelines.train_picture import subject_of, write_picture
from pipelines.train_plan import make_plan
from pipelines.train_publish import Options, Plan, draft_of, publish, with_figures
from pipelines.train_ranker import with_ranker
from pipelines.train_result import result_of
from pipelines.train_rows import Basis, Gathered, gather, with_transitions_of
from pipelines.train_run import Run
from pipelines.train_stream import ROWS, EvenSplit, stream
from pipelines.train_text import ReadTexts, read_texts
from pipelines.train_worker import Shared, Work
from recsys.encoder.weights import EncoderFiles
from recsys.errors import DataError, UnavailableError
from recsys.item_side import check_no_item_side
from recsys.settings import Settings
from recsys.training.export import Exported
from recsys.training.fitting import MIN_QUESTIONS
from recsys.training.options import TrainSettings

Floats = npt.NDArray[np.float32]


def run(job: Job, options: Options | None = None) -> dict[str, Any]:
    """Train, make a bundle, and publish it: its profiles first, then the pointer.

    Args:
        job: store, ledger, tenant and settings.
        options: of the run.

    Returns:
        The report: bundle id, what ``promoted`` it (the report of ``pipelines.publish promote``;
        None where it was not to be published), ``ndcg10`` on the validation tail, the epochs'
        figures, half-lives, what more time would give, seconds per stage, and ``starts``: each
        start of workers, the ``step`` it went on from and its ``n_workers``.

    Raises:
        NotFoundError: if the store holds nothing of the tenant.
        DataError: if there is no event, or none that is positive.
        ConfigError: if an unfinished run of this name was asked something else, or this machine,
            where no node can join, lacks room for the fewest workers, or item profiles are asked
            for, which no bundle can hold.
        ConflictError: if another bundle was published while this one's profiles were made.
    """
    options = options or Options()
    began_at = time.time() - options.spent_s
    stages: dict[str, float] = {}
    _check(job.settings)
    _quiet()
    with ray_session():
        room = _scaling(job.settings.train)
        run_ = Run(
            job.store,
            job.tenant,
            options.name,
            uuid.uuid4().hex,
            job.settings.train.n_checkpoints,
        )
        with timed(stages, "read"):
            plan = make_plan(job, run_, options, began_at)
        with timed(stages, "encode"):
            said = read_texts(job, plan.catalog.item_texts(), plan.texts)
        with timed(stages, "gather"):
            index = plan.catalog.index
            words = {text: row for row, text in enumerate(plan.texts)} or None
            where = (plan.until, plan.tail_start, run_.prefix)
            basis = Basis(index, job.settings, *where, words)
            gathered = gather(job, basis)
            work = _work(job, run_, plan, gathered, said)
        with timed(stages, "train"):
            progress, starts = _train(job, work, gathered, room)
        result, encoder = _result(job, run_, said.encoder)
        subject = subject_of(
            run_, gathered.chunks["whole"][0], ray.get(work.shared), result, job.settings
        )
        draft = draft_of(job, plan, options, result, encoder)
        draft = with_figures(draft, job.settings.train, progress, work.sizes)
        draft = with_ranker(job, run_, plan, draft, said.texts, stages)
        published = publish(job, draft, options, stages)
    report = {
        **published,
        "run": options.name,
        "resumed": plan.resumed,
        "n_starts": len(starts),
        "starts": [{"step": step, "n_workers": n_workers} for step, n_workers in starts],
        "picture": write_picture(run_, subject, draft),
        **draft.quality,
        **draft.metrics,
        "stages": stages,
    }
    run_.finish({"bundle_id": published["bundle_id"], **draft.quality})
    return report


def _check(settings: Settings) -> None:
    """Refuse early what can only fail later."""
    check_mlflow(settings.train)
    check_no_item_side(settings.model)


def _result(
    job: Job, run_: Run, encoder: EncoderFiles | None
) -> tuple[Exported, EncoderFiles | None]:
    """What the workers left, and the encoder: the tuned one where it was trained."""
    tensors, tuned = run_.result()
    if tuned is not None:
        encoder = tuned_encoder(job.store, tuned, job.settings)
    return result_of(tensors, job.settings), encoder


def _work(
    job: Job,
    run_: Run,
    plan: Plan,
    gathered: Gathered,
    said: ReadTexts,
) -> Work:
    chunks, settings = gathered.chunks, job.settings
    is_frozen = settings.train.stage == "frozen"
    whole = gathered.whole.finish(said.texts, plan.catalog)
    whole = with_transitions_of(job.store, chunks["whole"], whole, settings)
    pilot, tail_start = whole, plan.tail_start
    if gathered.n_validation < MIN_QUESTIONS:
        tail_start = None
    if tail_start is not None:
        try:
            pilot = gathered.pilot.finish(said.texts, plan.catalog)
            pilot = with_transitions_of(job.store, chunks["pilot"], pilot, settings)
        except DataError:  # nothing positive before the tail: there is nothing to pilot
            tail_start = None
    texts = [] if is_frozen else plan.catalog.item_texts()
    sizes = Sizes(_n_events(gathered.chunks["pilot"]), _n_events(gathered.chunks["whole"]))
    return Work(
        run=run_,
        settings=job.settings,
        shared=ray.put(Shared(pilot, whole, gathered.validation, texts)),
        sizes=sizes,
        tail_start=tail_start,
        first=train_phases.first(job.settings.train, tail_start is not None),
        board=new_board(plan.began_at),
        language=None if is_frozen else said.source,
    )


def _train(
    job: Job, work: Work, gathered: Gathered, room: ScalingConfig
) -> tuple[Progress, list[tuple[int, int]]]:
    """Run Ray Train to the end; the last progress, and the board's ``starts``."""
    train = job.settings.train
    with tempfile.TemporaryDirectory(prefix="hl-train-") as folder:
        trainer = TorchTrainer(
            train_loop,
            train_loop_config={"work": work},
            scaling_config=room,
            run_config=RunConfig(
                name=work.run.owner,
                storage_path=folder,  # holds Ray's own notes; checkpoints are in the store
                failure_config=FailureConfig(max_failures=train.max_failures),
                callbacks=[ToBoard(work.board)],
            ),
            datasets={ROWS: stream(work.run, job.settings, work.first, gathered.chunks)},
            dataset_config=EvenSplit(),
        )
        problem = "was stopped before its end"
        with showing(work.board, sinks(work.run, train)):
            try:
                trainer.fit()
            except TrainingFailedError as error:
                problem = f"failed ({str(error).strip().splitlines()[0]})"
    failure = ray.get(work.board.failure.remote())
    if failure is not None:
        raise error_of(failure)
    last = work.run.latest()
    if last is None or last[0].phase != train_phases.DONE:
        raise UnavailableError(f"run {work.run.name}", problem, "Run it again to resume")
    return last[0], ray.get(work.board.starts.remote())


def _scaling(train: TrainSettings) -> ScalingConfig:
    found = scaling(train, ray.cluster_resources(), can_grow="RAY_ADDRESS" in os.environ)
    check_cuda(train)
    return found


def _n_events(chunks: tuple[Chunk, ...]) -> int:
    return sum(chunk.n_events for chunk in chunks)


def _quiet() -> None:
    """Ray Train polls its workers often enough for short epochs; its own words stay in its logs."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    if "RAY_ADDRESS" not in os.environ:  # this machine alone: there is no node to lose
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


app = command_line()


@app.command()
def train(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    until: Annotated[
        str | None, typer.Option(help="Use nothing from this time on: ISO time or Unix seconds.")
    ] = None,
    publish: Annotated[
        bool, typer.Option(help="Make its profiles, then move the tenant's pointer to it.")
    ] = True,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Forget an unfinished run of this name.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the run, in the store.")] = "train",
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Learn interests and half-lives from the record: a bundle, its profiles, and it is published.

    Example: python -m pipelines.train --store S --set train.budget_s=180
    """
    job = open_job(store, ledger, tenant, config, assignments)
    moment = None if until is None else parse_time(until)
    spent_s = time.time() - psutil.Process().create_time()
    finish(run(job, Options(moment, publish, fresh, name, spent_s)))


if __name__ == "__main__":
    main(app)
