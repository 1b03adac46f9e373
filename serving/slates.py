"""Making slates: candidates, trend as of the moment, exact scores, reasons."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.interest.stored import model_within
from recsys.ranking import fresh_part, top_k, trend_part
from recsys.settings import Settings
from recsys.shelf import Evidence, Shelf, neighbour_part
from recsys.slate import SlateOptions, eligible, make_slate
from serving.api.schemas import SlateReply
from serving.replies import slate_items
from serving.trend_mirror import TrendMirror


@dataclass(frozen=True)
class SlateRequest:
    """What a slate is asked for with."""

    k: int = 10
    exclude_seen: bool = True
    as_of: float | str | None = None
    """Unix seconds or ISO 8601; None = now."""
    min_version: str | None = None
    """Version token of a write that the slate must see."""


class SlateMaker:
    """Turns evidence into replies.

    Args:
        bundle: what is recommended from.
        settings: of this process; ``ranking`` may fix weights.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self._retrieval = bundle.settings.retrieval
        self._index = bundle.index
        self._max_k = settings.serving.max_k
        self.shelf = Shelf(
            catalog=bundle.catalog,
            items=bundle.items,
            model=model_within(bundle.model, settings.ranking),
            interest=bundle.settings.interest,
            trend=bundle.settings.trend,
            neighbours=bundle.neighbours,
        )
        self.trend = TrendMirror(bundle.settings.trend.half_lives_s, len(bundle.catalog))
        self.make(Evidence(self.shelf.nobody), 0.0, SlateRequest())  # compiles

    def make(self, evidence: Evidence, as_of: float, request: SlateRequest) -> SlateReply:
        """The slate that evidence asks for; who it is for is left to the caller.

        Args:
            evidence: a profile at ``as_of``.
            as_of: Unix seconds.
            request: length and seen filter.
        """
        trend_as_of = self.trend.as_of  # before the features: they may be newer, never older
        features = self.trend.features(as_of)
        options = SlateOptions(
            k=request.k,
            exclude_seen=request.exclude_seen,
            candidates=self._candidates(evidence, features, as_of, request.exclude_seen),
        )
        slate = make_slate(self.shelf, evidence, features, as_of, options)
        return SlateReply(
            request_id=uuid.uuid4().hex,
            user_id=None,
            as_of=as_of,
            trend_as_of=trend_as_of,
            profile_version=None,
            degraded=False,
            cold_start=False,
            items=slate_items(slate),
        )

    def _candidates(
        self,
        evidence: Evidence,
        features: npt.NDArray[np.float32],
        as_of: float,
        exclude_seen: bool,
    ) -> npt.NDArray[np.int64] | None:
        """None = score the whole catalog; in a large one, the nearest items and the trend's top."""
        if len(self.shelf.catalog) < self._retrieval.exact_below:
            return None
        wanted = self._retrieval.n_candidates + self._max_k
        allowed = eligible(self.shelf, features, as_of)
        if exclude_seen:
            allowed[evidence.seen] = False
        trend = trend_part(evidence.query, self.shelf.items.warm, features)
        found = [top_k(trend, allowed, wanted)]
        born, lives = self.shelf.catalog.available_from, self.shelf.trend.half_lives_s
        fresh = fresh_part(evidence.query, born, as_of, lives)
        if fresh is not None:
            found.append(top_k(trend + fresh, allowed, wanted))
        beside = neighbour_part(self.shelf, evidence, as_of)
        if beside is not None:
            found.append(top_k(beside, allowed & (beside > 0), wanted))
        vectors = evidence.query.vectors[0]
        vectors = vectors[vectors.any(axis=1)]
        if len(vectors) > 0:
            n_near = wanted + min(len(evidence.seen), wanted)
            near, _ = self._index.search(vectors, n_near)
            found.append(near[near >= 0])
        return np.concatenate(found)
