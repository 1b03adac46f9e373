"""The bundle: everything fitted, published as one artifact.

    bundles/<tenant>/CURRENT            pointer to the published manifest
    bundles/<tenant>/<bundle_id>.json   manifest: settings, weights, figures, checksums of all files
    blobs/<sha256>.<ext>                the files, named after their content, shared by bundles

A bundle's id is the hash of what it contains, so publishing the same twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.blobs import put_blob, read_blob, write_files
from recsys.bundle_manifest import (
    FORMAT_VERSION,
    REMEDY,
    identity_of,
    load_manifest,
    manifest_path,
    move_pointer,
    pointer_path,
    read_manifest,
)
from recsys.catalog import Catalog, catalog_from_items
from recsys.coldstart.segments import Segments
from recsys.coldstart.stored import segment_files, segments_of
from recsys.encoder.projection import AnyProjection, projection_from_bytes
from recsys.encoder.weights import EncoderFiles, encoder_entry
from recsys.errors import NotFoundError
from recsys.graph.interest_graph import InterestGraph
from recsys.graph.stored import graph_files, graph_of
from recsys.interest import stored
from recsys.interest.beside import NeighbourPart
from recsys.interest.model import InterestModel, ItemTable
from recsys.item_side import check_no_item_side
from recsys.ranker.model import Ranker, ranker_files, ranker_of
from recsys.ranking import RankingWeights
from recsys.retrieval import FaissRetriever, Retriever, index_from_bytes
from recsys.settings import Settings
from recsys.store import Store, table_of_parquet

MODEL_SECTIONS = ("data", "encoder", "interest", "trend", "model", "retrieval", "ranking")
"""Sections of the settings that a bundle fixes; the others stay those of the running job."""


@dataclass(frozen=True)
class BundleDraft:
    """What ``publish_bundle`` writes."""

    catalog: Catalog
    vectors: npt.NDArray[np.float32]
    """(N, D) item vectors, unit rows where nothing was learned; a zero row = nothing is known."""
    projection: AnyProjection
    index: FaissRetriever
    weights: RankingWeights
    """Of a zero-shot model; of a learned one only ``own`` counts."""
    settings: Settings
    data_until: float
    """Time of the latest event that anything was fitted on, Unix seconds; 0.0 = no event."""
    until: float | None = None
    """The ``--until`` that was asked for."""
    encoder: EncoderFiles | None = None
    """None for vectors that come from no text."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How the ranking weights were chosen, and with what result."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Counts and seconds of the job that made the bundle."""
    warm: npt.NDArray[np.bool_] | None = None
    """(N,) items with events in training; None = no difference is made."""
    model: stored.Tensors | None = None
    """A learned model; None = zero-shot."""
    neighbours: stored.Tensors | None = None
    """A further part of the score; None = none."""
    graph: InterestGraph | None = None
    """The interests of the catalog; None = none were looked for."""
    segments: Segments | None = None
    """What users choose who share an attribute; None = none were looked for."""
    ranker: Ranker | None = None
    """What ranks the best by the model's score; None = that score stands."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """How good it was, and on which split."""


@dataclass(frozen=True)
class Bundle:
    """A published bundle in memory."""

    store: Store
    tenant: str
    manifest: dict[str, Any]
    catalog: Catalog
    items: ItemTable
    """Vectors in the order of the catalog."""
    projection: AnyProjection
    index: Retriever
    weights: RankingWeights
    """Of a zero-shot model; of a learned one only ``own`` counts."""
    model: InterestModel
    neighbours: NeighbourPart | None
    graph: InterestGraph | None
    segments: Segments | None
    ranker: Ranker | None
    settings: Settings
    """Settings of the sections ``MODEL_SECTIONS``; all others are defaults."""

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """(N, D) item vectors; a zero row = nothing is known."""
        return self.items.vectors

    @property
    def is_learned(self) -> bool:
        """Whether the model was trained."""
        return bool(self.manifest.get("model", stored.ZERO_SHOT) == stored.LEARNED)

    def settings_within(self, process: Settings) -> Settings:
        """The settings of a process, with the bundle's in the sections that a bundle fixes."""
        fixed = {name: getattr(self.settings, name) for name in MODEL_SECTIONS}
        return process.model_copy(update=fixed)

    @property
    def bundle_id(self) -> str:
        """The hash that names the bundle."""
        return str(self.manifest["bundle_id"])

    @property
    def data_until(self) -> float:
        """Time of the latest event that anything was fitted on, Unix seconds."""
        return float(self.manifest["data_until"])

    @property
    def n_dims(self) -> int:
        """D."""
        return self.items.n_dims


def publish_bundle(
    store: Store, tenant: str, draft: BundleDraft, created_at: float, promote: bool = True
) -> dict[str, Any]:
    """Write a bundle's files and manifest, then move the tenant's pointer to it.

    Args:
        store: where to.
        tenant: whose.
        draft: the content.
        created_at: now, Unix seconds.
        promote: False leaves the pointer where it is; ``promote_bundle`` moves it later.

    Returns:
        The manifest; the old one if the same bundle was published before.

    Raises:
        ConflictError: if somebody else published meanwhile.
        ConfigError: if the settings ask for item profiles, which no bundle can hold.
    """
    check_no_item_side(draft.settings.model)
    current, token = store.read_pointer(pointer_path(tenant))
    manifest = _content(store, tenant, draft)
    path = manifest_path(tenant, manifest["bundle_id"])
    if store.exists(path):
        manifest = read_manifest(store, path)
    else:
        manifest["created_at"] = created_at
        manifest["parent"] = None if current is None else current["bundle_id"]
        manifest["metrics"] = dict(draft.metrics)
        manifest["quality"] = dict(draft.quality)
        store.write(path, json.dumps(manifest, sort_keys=True, indent=1).encode())
    if promote and (current is None or current["bundle_id"] != manifest["bundle_id"]):
        move_pointer(store, tenant, manifest["bundle_id"], token)
    return manifest


def promote_bundle(store: Store, tenant: str, bundle_id: str) -> None:
    """Move the tenant's pointer to a bundle that was written before (also: roll back).

    Raises:
        NotFoundError: if there is no such bundle.
    """
    if not store.exists(manifest_path(tenant, bundle_id)):
        raise NotFoundError(f"bundle {bundle_id} of {tenant}", "does not exist", REMEDY)
    move_pointer(store, tenant, bundle_id, store.read_pointer(pointer_path(tenant))[1])


def load_bundle(store: Store, tenant: str, bundle_id: str | None = None) -> Bundle:
    """Read a bundle, every file verified against its checksum.

    Args:
        store: where from.
        tenant: whose.
        bundle_id: which; None = the published one.

    Raises:
        NotFoundError: if there is none.
        ChecksumError: if a file is not what was published.
    """
    manifest = load_manifest(store, tenant, bundle_id)
    read = {name: read_blob(store, entry) for name, entry in manifest["files"].items()}
    settings = Settings.model_validate(manifest["settings"])
    weights = RankingWeights.from_dict(manifest["ranking"]["weights"])
    return Bundle(
        store=store,
        tenant=tenant,
        manifest=manifest,
        catalog=catalog_from_items(table_of_parquet(read["items.parquet"])),
        items=stored.items_from_bytes(read[stored.VECTORS]),
        projection=projection_from_bytes(read[stored.PROJECTION]),
        index=index_from_bytes(read["index.safetensors"]),
        weights=weights,
        model=stored.model_of(read, weights, settings, manifest["encoder"] is not None),
        neighbours=stored.neighbours_of(read),
        graph=graph_of(read),
        segments=segments_of(read),
        ranker=ranker_of(read),
        settings=settings,
    )


def materialise_encoder(bundle: Bundle, folder: str | Path) -> Path:
    """Write the encoder's files of a bundle into a folder that ``TextEncoder`` loads.

    Give each encoder id a folder of its own: files that are there already are kept.

    Raises:
        NotFoundError: if the bundle's vectors come from no text encoder.
    """
    entry = bundle.manifest["encoder"]
    if entry is None:
        raise NotFoundError(f"encoder of bundle {bundle.bundle_id}", "does not exist")
    return write_files(bundle.store, entry["files"], folder)


def _content(store: Store, tenant: str, draft: BundleDraft) -> dict[str, Any]:
    sink = pa.BufferOutputStream()
    pq.write_table(draft.catalog.to_table(tenant), sink, compression="zstd")
    parts = {
        "items.parquet": sink.getvalue().to_pybytes(),
        stored.VECTORS: stored.items_to_bytes(draft.vectors, draft.warm),
        stored.PROJECTION: draft.projection.to_bytes(),
        "index.safetensors": draft.index.to_bytes(),
        **stored.tensor_files(draft.model, draft.neighbours),
        **graph_files(draft.graph),
        **segment_files(draft.segments),
        **ranker_files(draft.ranker),
    }
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model": stored.ZERO_SHOT if draft.model is None else stored.LEARNED,
        "data_until": draft.data_until,
        "until": draft.until,
        "encoder": None if draft.encoder is None else encoder_entry(store, draft.encoder),
        "n_items": len(draft.catalog),
        "n_dims": int(draft.vectors.shape[1]),
        "settings": draft.settings.model_dump(mode="json", include=set(MODEL_SECTIONS)),
        "ranking": {"weights": draft.weights.as_dict(), "figures": dict(draft.figures)},
        "files": {name: put_blob(store, name, data) for name, data in parts.items()},
    }
    manifest = json.loads(json.dumps(manifest))
    return {**manifest, "bundle_id": identity_of(manifest)}
