"""Bundles beside each other: which there are, how good each was, and what sets two apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.bundle_manifest import load_manifest, move_pointer, pointer_path
from recsys.catalog import Catalog, aligned_rows
from recsys.errors import ChecksumError, ConfigError, ConflictError
from recsys.interest.stored import LEARNED, ZERO_SHOT
from recsys.ranking import RankingWeights
from recsys.readiness import n_snapshots
from recsys.store import Store

Floats = npt.NDArray[np.float32]

EMBED_SPLIT = "validation tail of embed"
"""How the quality of a zero-shot bundle was measured: when its weights were chosen."""

BANKS = {
    "interest": ("interest", "half_lives_s"),
    "negative": ("interest", "negative_half_lives_s"),
    "trend": ("trend", "half_lives_s"),
}
"""Name of a bank -> section and field of its half-lives."""


@dataclass(frozen=True)
class Quality:
    """How good a bundle was when it was made."""

    split: str
    """What was asked: which job, which tail."""
    ndcg10: float
    data_until: float
    """Unix seconds; of two bundles with other data the tails are others too."""
    validation_share: float
    """Share of the events in the tail."""

    @property
    def asked(self) -> tuple[str, float, float]:
        """Equal where the same questions were asked."""
        return self.split, self.data_until, self.validation_share


@dataclass(frozen=True)
class Listed:
    """One line of the list of bundles."""

    bundle_id: str
    is_current: bool
    manifest: Mapping[str, Any] | None
    """None where it is not sound; ``problem`` says why."""
    problem: str
    n_snapshots: int
    """Partitions with a snapshot."""

    def as_dict(self, now: float) -> dict[str, Any]:
        """JSON-ready.

        Args:
            now: Unix seconds, for the age.
        """
        line: dict[str, Any] = {
            "bundle_id": self.bundle_id,
            "current": self.is_current,
            "n_snapshots": self.n_snapshots,
        }
        if self.manifest is None:
            return {**line, "problem": self.problem}
        quality = quality_of(self.manifest)
        return {
            **line,
            "age_s": round(now - self.manifest["created_at"], 1),
            "created_at": self.manifest["created_at"],
            "model": model_of(self.manifest),
            "data_until": self.manifest["data_until"],
            "n_items": self.manifest["n_items"],
            "parent": self.manifest["parent"],
            "ndcg10": None if quality is None else quality.ndcg10,
            "split": None if quality is None else quality.split,
            "quality": self.manifest.get("quality") or self.manifest["ranking"]["figures"],
        }


@dataclass(frozen=True)
class Published:
    """A tenant's pointer as it was read: what a decision is based on."""

    bundle_id: str | None
    """None before the first bundle."""
    token: str | None


def published(store: Store, tenant: str) -> Published:
    """Read the pointer; ``move`` refuses if somebody moves it meanwhile."""
    value, token = store.read_pointer(pointer_path(tenant))
    return Published(None if value is None else str(value["bundle_id"]), token)


def move(store: Store, tenant: str, bundle_id: str, seen: Published) -> None:
    """Move the pointer to a bundle.

    Raises:
        ConflictError: if the pointer is not where it was ``seen``.
    """
    try:
        move_pointer(store, tenant, bundle_id, seen.token)
    except ConflictError as error:
        now = published(store, tenant).bundle_id
        raise ConflictError(
            f"promotion of bundle {bundle_id}",
            f"was overtaken: {now} was published while {seen.bundle_id} was current",
            "Look at `python -m pipelines.publish list`, and run it again if it is still right",
        ) from error


def list_bundles(store: Store, tenant: str) -> list[Listed]:
    """All bundles of a tenant, the newest first; such that are not sound come last."""
    current = published(store, tenant).bundle_id
    folder = pointer_path(tenant).removesuffix("CURRENT")
    names = [path.removeprefix(folder) for path in store.paths(folder.rstrip("/"))]
    found = []
    for name in names:
        bundle_id = name.removesuffix(".json")
        if bundle_id == name or "/" in name:
            continue
        manifest, problem = None, ""
        try:
            manifest = load_manifest(store, tenant, bundle_id)
        except (ChecksumError, ConfigError) as error:
            problem = error.problem
        ready = n_snapshots(store, tenant, bundle_id)
        found.append(Listed(bundle_id, bundle_id == current, manifest, problem, ready))
    return sorted(found, key=_newest_first)


def _newest_first(line: Listed) -> tuple[float, str]:
    made = 0.0 if line.manifest is None else float(line.manifest["created_at"])
    return -made, line.bundle_id


def model_of(manifest: Mapping[str, Any]) -> str:
    """``zero-shot`` or ``learned``."""
    return LEARNED if manifest.get("model", ZERO_SHOT) == LEARNED else ZERO_SHOT


def quality_of(manifest: Mapping[str, Any]) -> Quality | None:
    """How good a bundle was; None where nothing was measured."""
    share = float(manifest["settings"].get("ranking", {}).get("validation_share", 0.0))
    asked = (float(manifest["data_until"]), share)
    quality = manifest.get("quality") or {}
    if quality.get("ndcg10") is not None:
        return Quality(str(quality.get("split", "")), float(quality["ndcg10"]), *asked)
    figures = manifest["ranking"]["figures"]
    ndcg = figures.get("ndcg10")
    if isinstance(ndcg, Mapping) and figures.get("chosen") in ndcg:
        return Quality(EMBED_SPLIT, float(ndcg[figures["chosen"]]), *asked)
    return None


def differing_settings(
    a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = ""
) -> dict[str, list[Any]]:
    """``section.field`` -> [of a, of b], where two settings trees differ.

    >>> differing_settings({"train": {"seed": 17}}, {"train": {"seed": 18}})
    {'train.seed': [17, 18]}
    """
    found: dict[str, list[Any]] = {}
    for key in sorted({*a, *b}):
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found |= differing_settings(left, right, f"{prefix}{key}.")
        elif left != right:
            found[f"{prefix}{key}"] = [left, right]
    return found


def compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """What two manifests say of each other.

    Returns:
        ``settings`` that differ (half-lives left out), ``half_lives_s`` per bank side by side,
        ``weights`` and ``quality``; ``ndcg10_difference`` is b less a, None where they were not
        asked the same.
    """
    lives = {f"{section}.{field}" for section, field in BANKS.values()}
    settings = differing_settings(a["settings"], b["settings"])
    scores = [quality_of(manifest) for manifest in (a, b)]
    left, right = scores
    same = left is not None and right is not None and left.asked == right.asked
    return {
        "settings": {name: pair for name, pair in settings.items() if name not in lives},
        "half_lives_s": {
            bank: [list(manifest["settings"][section][field]) for manifest in (a, b)]
            for bank, (section, field) in BANKS.items()
        },
        "weights": [_weights(manifest) for manifest in (a, b)],
        "quality": [None if q is None else {"split": q.split, "ndcg10": q.ndcg10} for q in scores],
        "ndcg10_difference": right.ndcg10 - left.ndcg10 if same and left and right else None,
    }


def _weights(manifest: Mapping[str, Any]) -> dict[str, list[float]] | None:
    """The fixed weights of a zero-shot bundle; a learned model reads them off each profile."""
    if model_of(manifest) == LEARNED:
        return None
    return RankingWeights.from_dict(manifest["ranking"]["weights"]).as_dict()


def catalog_overlap(a: Catalog, b: Catalog) -> dict[str, Any]:
    """Items of a, of b and of both, and the share that both have of all."""
    n_both = int((aligned_rows(a.item_ids, b.index) >= 0).sum())
    n_all = len(a) + len(b) - n_both
    share = n_both / n_all if n_all > 0 else 1.0
    return {"n_items": [len(a), len(b)], "n_both": n_both, "share": share}


def vector_drift(a: Bundle, b: Bundle) -> dict[str, float] | None:
    """How far the item vectors turned between two bundles.

    Returns:
        1 - cosine over the items that have a vector in both: ``median`` and ``p95`` as they are,
        ``aligned_median`` and ``aligned_p95`` after the best common rotation (each training has
        axes of its own), and their number ``n``. None where the dimensions differ or no item is in
        both.
    """
    if a.n_dims != b.n_dims:
        return None
    rows = aligned_rows(a.catalog.item_ids, b.catalog.index)
    left, right = a.vectors[rows >= 0], b.vectors[rows[rows >= 0]]
    known = np.any(left != 0.0, axis=1) & np.any(right != 0.0, axis=1)
    if not known.any():
        return None
    left, right = _unit(left[known]), _unit(right[known])
    u, _, v = np.linalg.svd(left.T @ right)
    plain, aligned = _turned(left, right), _turned(left @ (u @ v), right)
    return {
        "n": int(known.sum()),
        "median": float(np.median(plain)),
        "p95": float(np.quantile(plain, 0.95)),
        "aligned_median": float(np.median(aligned)),
        "aligned_p95": float(np.quantile(aligned, 0.95)),
    }


def slate_overlap(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]]) -> dict[str, float | int]:
    """How much two systems recommend the same to the same users.

    Args:
        a: a slate of item ids for each user.
        b: the same users' slates of the other system.

    Returns:
        ``n_users``, mean and median share of common items (``mean``, ``median``), and the share of
        users whose first item is the same (``same_first``).
    """
    shares = np.array([_common(x, y) for x, y in zip(a, b, strict=True)])
    firsts = np.array([x[:1] == y[:1] for x, y in zip(a, b, strict=True)])
    if len(shares) == 0:
        return {"n_users": 0, "mean": 1.0, "median": 1.0, "same_first": 1.0}
    return {
        "n_users": len(shares),
        "mean": float(shares.mean()),
        "median": float(np.median(shares)),
        "same_first": float(firsts.mean()),
    }


def _common(x: Sequence[str], y: Sequence[str]) -> float:
    longest = max(len(x), len(y))
    return len({*x} & {*y}) / longest if longest > 0 else 1.0


def _turned(left: Floats, right: Floats) -> npt.NDArray[np.float64]:
    """(n,) 1 - cosine of unit rows."""
    cosine: npt.NDArray[np.float64] = np.sum(left.astype(np.float64) * right, axis=1)
    return 1.0 - cosine


def _unit(rows: Floats) -> Floats:
    found: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found
