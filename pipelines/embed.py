"""Read the catalog with the language model and publish a bundle.

archive + ledger -> catalog -> text vectors -> PCA -> item vectors -> index
                 -> events before --until -> ranking weights           -> bundle

Nothing at or after ``--until`` is used: neither events nor items that become available then.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import typer

from pipelines.catalog_graph import graph_of_events
from pipelines.catalog_segments import segments_of_events
from pipelines.encode import EncoderSource, TextVectors, encoder_source, text_vectors
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
    timed,
    working,
)
from pipelines.models import model_folder
from pipelines.times import parse_time
from recsys.archive import Archive
from recsys.bundle import BundleDraft, publish_bundle
from recsys.catalog import Catalog, catalog_from_items
from recsys.coldstart.segments import Segments
from recsys.encoder.projection import Projection, fit_projection
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.errors import NotFoundError
from recsys.evaluation.fitting import fit_weights
from recsys.events import event_arrays, timestamps_s
from recsys.graph.interest_graph import InterestGraph
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ledger import open_ledger
from recsys.ranker.model import Ranker
from recsys.ranker.tail import Encoder, Record, ranker_of_tail
from recsys.ranking import RankingWeights, default_weights, with_settings
from recsys.record import read_all
from recsys.retrieval import build_index
from recsys.words import Words, texts_of

_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text"]


@dataclass(frozen=True)
class _Corpus:
    """What a bundle is fitted on."""

    events: pa.Table
    catalog: Catalog
    data_until: float


def run(
    job: Job, until: float | None = None, publish: bool = True, fit: bool = True
) -> dict[str, Any]:
    """Make a bundle.

    Args:
        job: store, ledger, tenant and settings.
        until: Unix seconds; nothing at or after this time is used (None = everything).
        publish: False writes the bundle but leaves the tenant's pointer where it is.
        fit: False takes the default ranking weights.

    Returns:
        The report: bundle id, counts, weights, seconds per stage.

    Raises:
        NotFoundError: if the store holds neither items nor events of the tenant.
    """
    stages: dict[str, float] = {}
    with timed(stages, "read"), working("read the record"):
        corpus = _read(job, until)
    with timed(stages, "fetch_model"):
        encoder = encoder_files(model_folder(job.settings.encoder.model), job.settings.encoder)
    with timed(stages, "encode"):
        source = encoder_source(job.store, encoder, job.settings.encoder)
        found = text_vectors(corpus.catalog.item_texts(), source)
        said = texts_of(corpus.events, job.settings.interest) if fit else []
        spoken = text_vectors(said, source) if said else None
    with timed(stages, "project"):
        projection = _projection(found, source, job.settings.encoder.n_dims)
        vectors = found.projected(projection.project, projection.n_dims)
    with timed(stages, "index"):
        index = build_index(vectors, job.settings.retrieval)
    with timed(stages, "fit"), working("choose weights on the latest events"):
        words = None if spoken is None else _words(job, projection, said, spoken)
        weights, figures = _weights(job, corpus, vectors, words) if fit else _default(job)
    items = ItemTable.all_warm(vectors)
    graph, segments = _told_apart(job, corpus, items, stages)
    with timed(stages, "rank"), working("fit the ranking model"):
        read = (items, ZeroShot(job.settings.interest, weights, projection))
        ranker = _ranker(job, corpus, read, graph, words) if fit else None
    n_interests = 0 if graph is None else len(graph)
    counts = {**_counts(corpus, found), "n_event_texts": len(said), "n_interests": n_interests}
    draft = BundleDraft(
        catalog=corpus.catalog,
        vectors=vectors,
        projection=projection,
        index=index,
        weights=weights,
        settings=job.settings,
        data_until=corpus.data_until,
        until=until,
        encoder=encoder,
        graph=graph,
        segments=segments,
        ranker=ranker,
        figures=figures,
        metrics={**counts, "stages": dict(stages)},
    )
    with timed(stages, "publish"):
        manifest = publish_bundle(job.store, job.tenant, draft, time.time(), promote=publish)
    return _report(manifest, encoder, counts, stages)


def _read(job: Job, until: float | None) -> _Corpus:
    archive = Archive(job.store)
    with closing(open_ledger(job.ledger_url)) as ledger:
        events = read_all(archive, ledger, job.tenant, until, _COLUMNS)
    manifest = archive.manifest()
    items = archive.items(manifest, job.tenant) if manifest is not None else None
    if items is None:
        items = pa.table({"item_id": pa.array([], pa.string())})
    named = pc.drop_null(pc.unique(events["item_id"])).to_pylist()
    catalog = catalog_from_items(items, named, until)
    if len(catalog) == 0:
        raise NotFoundError(
            f"items and events of tenant {job.tenant} in {job.store.uri}",
            "do not exist" if until is None else f"do not exist before {until}",
            "Run `python -m pipelines.ingest --store ... --events ... --items ...` first",
        )
    latest = float(timestamps_s(events["ts"]).max()) if len(events) > 0 else 0.0
    return _Corpus(events, catalog, latest)


def _projection(found: TextVectors, source: EncoderSource, n_dims: int) -> Projection:
    if len(found.distinct) == 0:  # no item says anything: only the width is needed
        return fit_projection(np.zeros((0, source.load().n_dims), np.float32), n_dims)
    return fit_projection(found.distinct, n_dims)


def _words(job: Job, projection: Projection, texts: list[str], found: TextVectors) -> Words:
    """The texts of events (M,) as the bundle's model will read them."""
    model = ZeroShot(job.settings.interest, _default(job)[0], projection)
    return Words.of(model, texts, found.distinct[found.row])


def _weights(
    job: Job, corpus: _Corpus, vectors: npt.NDArray[np.float32], words: Words | None
) -> tuple[RankingWeights, dict[str, Any]]:
    if len(corpus.events) == 0:
        return _default(job)
    index, texts = (None, None) if words is None else (words.index, words.table)
    events = event_arrays(corpus.events, corpus.catalog.index, index)
    weights, figures = fit_weights(events, vectors, corpus.catalog, job.settings, texts)
    return with_settings(weights, job.settings.ranking), figures


def _told_apart(
    job: Job, corpus: _Corpus, items: ItemTable, stages: dict[str, float]
) -> tuple[InterestGraph | None, Segments | None]:
    """The interests of the catalog, and the segments of its users."""
    known = (corpus.events, corpus.data_until)
    with timed(stages, "graph"), working("name the interests"):
        graph = graph_of_events(job, corpus.catalog, items, *known)
    with timed(stages, "segments"):
        return graph, segments_of_events(job, corpus.catalog, *known)


def _ranker(
    job: Job,
    corpus: _Corpus,
    encoder: tuple[ItemTable, ZeroShot],
    graph: InterestGraph | None,
    words: Words | None,
) -> Ranker | None:
    if len(corpus.events) > job.settings.ranker.max_events:
        return None
    index, texts = (None, None) if words is None else (words.index, words.table)
    events = event_arrays(corpus.events, corpus.catalog.index, index)
    scored_by = Encoder(*encoder, job.settings.interest, texts=texts)
    return ranker_of_tail(Record(events, corpus.catalog, graph), scored_by, job.settings)


def _default(job: Job) -> tuple[RankingWeights, dict[str, Any]]:
    weights = default_weights(job.settings.interest, job.settings.trend)
    return with_settings(weights, job.settings.ranking), {"chosen": "default"}


def _counts(corpus: _Corpus, found: TextVectors) -> dict[str, Any]:
    return {
        "n_events": len(corpus.events),
        "n_items": len(corpus.catalog),
        "n_items_without_text": int(np.sum(found.row < 0)),
        "n_texts": len(found.distinct),
        "n_encoded": found.n_encoded,
    }


def _report(
    manifest: dict[str, Any],
    encoder: EncoderFiles,
    counts: dict[str, Any],
    stages: dict[str, float],
) -> dict[str, Any]:
    seconds = stages["encode"]
    return {
        "bundle_id": manifest["bundle_id"],
        "parent": manifest["parent"],
        "data_until": manifest["data_until"],
        "until": manifest["until"],
        "encoder": {"id": encoder.id, "model": encoder.model},
        "n_dims": manifest["n_dims"],
        **counts,
        "texts_per_s": round(counts["n_encoded"] / seconds, 1) if seconds > 0 else 0.0,
        "ranking": manifest["ranking"],
        "stages": stages,
    }


app = command_line()


@app.command()
def embed(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    until: Annotated[
        str | None, typer.Option(help="Use nothing from this time on: ISO time or Unix seconds.")
    ] = None,
    publish: Annotated[bool, typer.Option(help="Move the tenant's pointer to the bundle.")] = True,
    fit: Annotated[bool, typer.Option(help="Choose ranking weights on the latest events.")] = True,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Item texts to vectors, index and ranking weights: one published bundle.

    Example: python -m pipelines.embed --store S --until 2024-05-01
    """
    job = open_job(store, ledger, tenant, config, assignments)
    finish(run(job, None if until is None else parse_time(until), publish, fit))


if __name__ == "__main__":
    main(app)
