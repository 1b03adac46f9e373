"""Logs that training meets only in the wild: it learns what there is, or says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import train
from pipelines.train import Options
from recsys.bundle import load_bundle
from recsys.datasets import canonical
from recsys.errors import ConfigError, DataError, NotFoundError
from recsys.schema import EVENTS
from recsys.settings import DAY_S
from recsys.testing.plain import times
from tests.integration.past_logs import new_job, put_events, put_items, small_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

START = 1.7e9


def events_of(rows: list[tuple[str, str, str, float, float | None]]) -> pa.Table:
    user, item, kind, ts, value = zip(*rows, strict=True)
    stamps = times(np.array(ts))
    return canonical(
        EVENTS,
        len(rows),
        event_id=[f"e{i}" for i in range(len(rows))],
        user_id=user,
        item_id=item,
        kind=kind,
        ts=stamps,
        seq=np.arange(len(rows)),
        ingested_at=stamps,
        value=value,
    )


ODD_LOGS: dict[str, Callable[[int], tuple[str, str, str, float, float | None]]] = {
    "one user": lambda i: ("u", f"i{i % 30}", "click", START + i * DAY_S, None),
    "users with one event": lambda i: (f"u{i}", f"i{i % 30}", "click", START + i, None),
    "all at one instant": lambda i: (f"u{i % 20}", f"i{i % 30}", "click", START, None),
    "values that are no numbers": lambda i: (
        f"u{i % 20}",
        f"i{i % 30}",
        "rating",
        START + 60.0 * i,
        float("nan") if i % 2 else 5.0,
    ),
}


@pytest.mark.parametrize("name", ODD_LOGS)
def test_an_odd_log_without_any_text_still_gives_a_sound_bundle(
    name: str, tmp_path: Path, in_process: None
) -> None:
    job = new_job(tmp_path / "job", "train.n_epochs=1", "model.n_half_lives=2")
    put_events(job, events_of([ODD_LOGS[name](i) for i in range(200)]))
    report = train.run(job, Options(publish=False))
    bundle = load_bundle(job.store, "default", report["bundle_id"])
    assert bundle.is_learned
    assert bundle.vectors.shape == (30, 8)
    assert np.isfinite(bundle.vectors).all()
    assert report["n_events"] == 200


def test_a_log_without_a_positive_event_says_what_counts(tmp_path: Path) -> None:
    job = new_job(tmp_path / "job")
    put_events(job, events_of([(f"u{i}", "i", "view", START + i, None) for i in range(20)]))
    with pytest.raises(DataError, match=r"no positive event among 20.*interest\.positive_kinds"):
        train.run(job)


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    job = new_job(tmp_path / "job")
    with pytest.raises((DataError, NotFoundError), match=r"pipelines\.ingest"):
        train.run(job)
    put_items(job, small_world().items)
    put_events(job, small_world().events)
    with pytest.raises(DataError, match="before --until"):
        train.run(job, Options(until=START - 1e9))


def test_without_texts_there_is_no_language_model_to_train(tmp_path: Path) -> None:
    job = new_job(tmp_path / "job", "train.stage=lora")
    put_events(job, events_of([(f"u{i}", "i", "click", START + i, None) for i in range(20)]))
    with pytest.raises(ConfigError, match="no item text"):
        train.run(job)
