"""The users' own words for jobs: what a bundle makes of the texts of a record.

Every distinct text is encoded once and cached like the items' texts (``pipelines.encode``).
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.encode import EncoderSource, text_vectors
from pipelines.job import Job
from recsys.bundle import Bundle
from recsys.words import Words


def source_of(job: Job, bundle: Bundle) -> EncoderSource | None:
    """The encoder of a bundle, for any node; None where its vectors come from no text."""
    entry = bundle.manifest["encoder"]
    if entry is None:
        return None
    return EncoderSource(job.store, entry["id"], bundle.settings.encoder, entry["files"])


def words_of(job: Job, bundle: Bundle, texts: Sequence[str]) -> Words | None:
    """Texts as a bundle reads them.

    Args:
        job: the store.
        bundle: whose encoder and model are used.
        texts: distinct, none empty (``recsys.words.texts_of``).

    Returns:
        None where the bundle reads no words; what no job read before is encoded now.
    """
    if not bundle.model.reads_text:
        return None
    source = source_of(job, bundle)
    if source is None or len(texts) == 0:
        return Words.none(bundle.model)
    found = text_vectors(texts, source)
    return Words.of(bundle.model, texts, found.distinct[found.row])
