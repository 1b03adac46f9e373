"""What is known of the users of queries beside events: stored attributes, and what they say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.encode import text_vectors
from pipelines.job import Job
from pipelines.past import Past
from pipelines.spoken import source_of
from recsys.archive import Archive
from recsys.coldstart.reading import Reader, Spoken, Statement, parse
from recsys.coldstart.told import Told
from recsys.coldstart.topics import Topics
from recsys.events import says


def told_of(
    job: Job,
    past: Past,
    users: Sequence[str],
    interests: Sequence[str | None] | None = None,
    reads_attributes: bool = False,
) -> tuple[Told, ...] | None:
    """What is told of Q users; None where nothing is told of anybody.

    Args:
        job: store, tenant and settings.
        past: the record beside a bundle.
        users: (Q,) ids.
        interests: (Q,) what each says; None = nobody says anything.
        reads_attributes: whether attributes are wanted although the bundle has no segments.
    """
    reads = reads_attributes or past.scene.segments is not None
    attributes = _attributes(job, set(users)) if reads else {}
    heard = {} if interests is None else _heard(job, past, [one for one in interests if says(one)])
    if len(attributes) == 0 and len(heard) == 0:
        return None
    said = [None] * len(users) if interests is None else interests
    return tuple(
        Told(None if text is None else heard.get(text), attributes.get(user))
        for user, text in zip(users, said, strict=True)
    )


def _attributes(job: Job, wanted: set[str]) -> dict[str, dict[str, str]]:
    archive = Archive(job.store)
    manifest = archive.manifest()
    if manifest is None:
        return {}
    users = archive.users(manifest, job.tenant).select(["user_id", "attributes"])
    return {
        row["user_id"]: {name: value for name, value in row["attributes"] or () if value}
        for batch in users.to_batches()
        for row in batch.to_pylist()
        if row["user_id"] in wanted
    }


def _heard(job: Job, past: Past, texts: Sequence[str | None]) -> dict[str, Statement]:
    """Text -> how it is understood; each is read once."""
    options = job.settings.coldstart.statement
    topics = Topics(past.catalog, past.graph, options.max_categories)
    spoken = {t: parse(t, topics, options.max_clauses) for t in texts if t is not None}
    clauses = sorted({text for one in spoken.values() for text in one.texts})
    source = source_of(job, past.bundle)
    names = vectors = None
    if source is not None and len(clauses) > 0:
        read = text_vectors([*topics.read_names, *clauses], source)
        whole = read.distinct[read.row]
        names, vectors = whole[: topics.n_read], whole[topics.n_read :]
    reader = Reader(topics, names, past.bundle.projection, options)
    row_of = {text: row for row, text in enumerate(clauses)}

    def understood(one: Spoken) -> Statement:
        rows = np.array([row_of[text] for text in one.texts], np.int64)
        return reader.understand(
            one, None if vectors is None else vectors[rows], past.bundle.n_dims
        )

    return {text: understood(one) for text, one in spoken.items()}
