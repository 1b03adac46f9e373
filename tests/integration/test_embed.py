from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.data

from pipelines import embed
from pipelines.catalog_vectors import vectors_for
from pipelines.encode import TEXTS_PER_ACTOR, ActorShare, encoder_source, encoding
from pipelines.job import Job
from pipelines.models import model_folder
from recsys.archive import Archive, FileRef, create_store
from recsys.bundle import load_bundle, materialise_encoder
from recsys.bundle_manifest import current_bundle_id
from recsys.encoder.text import TextEncoder
from recsys.encoder.weights import encoder_files
from recsys.errors import NotFoundError
from recsys.ledger import open_ledger
from recsys.schema import ITEMS, Event, microseconds, partition_of
from recsys.settings import DAY_S, EncoderSettings, load
from recsys.store import Store
from tests.unit.encoder.models import WORDS, save_encoder

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

N_PARTITIONS = 4
START = 1.7e9


def items(texts: dict[str, str | None], created: dict[str, float] | None = None) -> pa.Table:
    columns = {
        "tenant": ["default"] * len(texts),
        "item_id": list(texts),
        "title": list(texts.values()),
        "created_at": [
            microseconds(at) if (at := (created or {}).get(item_id)) else None for item_id in texts
        ],
    }
    arrays = [pa.array(columns.get(f.name, [None] * len(texts)), f.type) for f in ITEMS]
    return pa.Table.from_arrays(arrays, schema=ITEMS)


def put_items(job: Job, table: pa.Table) -> None:
    path, sha256, _ = job.store.write_table("archive/items", table)
    Archive(job.store).publish(lambda m: replace(m, items={"default": FileRef(path, sha256)}))


def put_events(job: Job, rng: np.random.Generator, item_ids: list[str], start: float) -> None:
    """Fifty clicks of ten users, a minute apart."""
    events = [
        Event(
            "default", f"{start}-{i}", f"u{i % 10}", str(rng.choice(item_ids)), "click", at, i, at
        )
        for i, at in enumerate(start + 60.0 * np.arange(50))
    ]
    with closing(open_ledger(job.ledger_url)) as ledger:
        ledger.append([partition_of(e.tenant, e.user_id, N_PARTITIONS) for e in events], events)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("HALFLIFE_CACHE", str(tmp_path / "cache"))
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    model = save_encoder(tmp_path / "model")
    settings = load(assignments=[f"encoder.model={model}", "encoder.n_dims=8"])
    return Job(store, f"sqlite:///{tmp_path}/ledger.db", settings)


@pytest.fixture
def texts(rng: np.random.Generator) -> dict[str, str | None]:
    found = {f"i{n:02}": " ".join(rng.choice(WORDS, size=3, replace=False)) for n in range(30)}
    return {**found, "i98": None, "i99": found["i00"]}


def test_embed_publishes_a_bundle_of_the_catalog(
    job: Job, texts: dict[str, str | None], rng: np.random.Generator
) -> None:
    put_items(job, items(texts))
    put_events(job, rng, [*texts, "unlisted"], START)
    report = embed.run(job)
    bundle = load_bundle(job.store, "default")
    assert report["bundle_id"] == bundle.bundle_id
    assert bundle.catalog.item_ids == sorted([*texts, "unlisted"])
    assert report["n_encoded"] == report["n_texts"] == len({t for t in texts.values() if t})
    assert report["n_items_without_text"] == 2
    assert bundle.data_until == START + 49 * 60.0
    norms = np.linalg.norm(bundle.vectors, axis=1)
    np.testing.assert_allclose(norms, bundle.catalog.has_text.astype(float), atol=1e-5)
    same = [bundle.catalog.index[i] for i in ("i00", "i99")]
    np.testing.assert_array_equal(bundle.vectors[same[0]], bundle.vectors[same[1]])


def test_a_pool_of_actors_encodes_a_large_catalog_as_one_process_would(
    job: Job, rng: np.random.Generator, tmp_path: Path
) -> None:
    drawn = [" ".join(rng.choice(WORDS, size=rng.integers(1, 9))) for _ in range(1_500)]
    put_items(job, items({f"i{n}": text for n, text in enumerate(drawn)}))
    report = embed.run(job)
    assert report["n_encoded"] == len(set(drawn)) > 2 * TEXTS_PER_ACTOR
    bundle = load_bundle(job.store, "default")
    encoder = TextEncoder(materialise_encoder(bundle, tmp_path / "e"), bundle.settings.encoder)
    direct = bundle.projection.project(encoder.encode(bundle.catalog.item_texts()))
    np.testing.assert_allclose(bundle.vectors, direct, atol=1e-2)


def test_ray_data_takes_the_plan_for_a_gpu(job: Job) -> None:
    settings = job.settings.encoder.model_copy(update={"num_gpus": 0.5})
    source = encoder_source(job.store, encoder_files(Path(settings.model), settings), settings)
    table = pa.table({"text_hash": ["a", "b"], "text": ["blue house", "green ghost"]})
    plan = encoding(table, source, ActorShare("cuda", 2))
    assert isinstance(plan, ray.data.Dataset)  # built, and not run


def test_a_second_run_encodes_nothing_and_publishes_nothing(
    job: Job, texts: dict[str, str | None]
) -> None:
    put_items(job, items(texts))
    first = embed.run(job)
    files = job.store.paths("")
    second = embed.run(job)
    assert (second["n_encoded"], second["bundle_id"]) == (0, first["bundle_id"])
    assert job.store.paths("") == files


def test_only_new_and_changed_texts_are_encoded_again(
    job: Job, texts: dict[str, str | None]
) -> None:
    put_items(job, items(texts))
    first = embed.run(job)
    put_items(job, items({**texts, "i01": "a text nobody had", "i50": "and a new one"}))
    second = embed.run(job)
    assert second["n_encoded"] == 2
    assert second["parent"] == first["bundle_id"] != second["bundle_id"]


def test_nothing_from_until_on_can_change_the_bundle(
    job: Job, texts: dict[str, str | None], rng: np.random.Generator
) -> None:
    until = START + DAY_S
    put_items(job, items(texts))
    put_events(job, rng, list(texts), START)
    before = embed.run(job, until)
    put_events(job, rng, ["i03", "unlisted"], until)
    put_items(job, items({**texts, "future": "red red red"}, created={"future": until}))
    after = embed.run(job, until)
    assert after["bundle_id"] == before["bundle_id"]
    assert after["data_until"] < until
    assert embed.run(job)["bundle_id"] != before["bundle_id"]


def test_an_unpublished_bundle_is_written_but_not_current(
    job: Job, texts: dict[str, str | None]
) -> None:
    put_items(job, items(texts))
    report = embed.run(job, publish=False)
    assert current_bundle_id(job.store, "default") is None
    assert load_bundle(job.store, "default", report["bundle_id"]).bundle_id == report["bundle_id"]


def test_events_without_any_item_text_make_a_bundle(job: Job, rng: np.random.Generator) -> None:
    put_events(job, rng, ["a", "b"], START)
    report = embed.run(job)
    bundle = load_bundle(job.store, "default")
    assert (report["n_texts"], bundle.vectors.shape) == (0, (2, 8))
    assert not bundle.vectors.any()


def test_an_empty_store_says_what_to_do(job: Job, texts: dict[str, str | None]) -> None:
    with pytest.raises(NotFoundError, match=r"pipelines\.ingest"):
        embed.run(job)
    put_items(job, items({"a": "red"}, created={"a": START}))
    with pytest.raises(NotFoundError, match="before"):
        embed.run(job, until=START)


def test_the_current_catalog_is_read_with_the_encoder_of_the_bundle(
    job: Job, texts: dict[str, str | None], tmp_path: Path
) -> None:
    put_items(job, items(texts))
    embed.run(job)
    bundle = load_bundle(job.store, "default")
    now = items({**texts, "i01": "blue house", "new": "green ghost", "i02": texts["i03"]})
    catalog, table = vectors_for(job, bundle, now, ["only in events"])
    vectors = table.vectors
    assert table.warm.all()
    old = {i: bundle.vectors[row] for i, row in bundle.catalog.index.items()}
    found = {i: vectors[row] for i, row in catalog.index.items()}
    assert set(found) == {*old, "new", "only in events"}
    np.testing.assert_array_equal(found["i05"], old["i05"])
    np.testing.assert_array_equal(found["i02"], old["i03"])
    assert not found["only in events"].any()
    encoder = TextEncoder(materialise_encoder(bundle, tmp_path / "e"), bundle.settings.encoder)
    direct = bundle.projection.project(encoder.encode(["blue house", "green ghost"]))
    np.testing.assert_allclose([found["i01"], found["new"]], direct, atol=5e-3)


def test_minilm_reads_what_items_say(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALFLIFE_CACHE")
    model_folder("minilm-l6")  # not part of the time below: a first run downloads it
    settings = load(assignments=["encoder.n_dims=3"])
    texts = {
        "alien": "Aliens attack a space ship",
        "apple": "Apples and pears",
        "fruit": "Fresh fruit salad",
        "space": "Astronauts travel to Mars",
        "pasta": "Italian pasta with tomato sauce",
    }
    put_items(job, items(texts))
    started = time.perf_counter()
    report = embed.run(replace(job, settings=settings))
    bundle = load_bundle(job.store, "default")
    assert bundle.catalog.item_ids == sorted(texts)
    near = {
        name: bundle.catalog.item_ids[bundle.index.search(bundle.vectors[[row]], 2)[0][0, 1]]
        for name, row in bundle.catalog.index.items()
    }
    assert (near["alien"], near["space"]) == ("space", "alien")
    assert (near["apple"], near["fruit"]) == ("fruit", "apple")
    assert report["encoder"]["model"] == EncoderSettings().model == "minilm-l6"
    assert time.perf_counter() - started < 60.0
