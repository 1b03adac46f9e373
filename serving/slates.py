"""Making slates: sources, trend as of the moment, exact scores, rerank steps, reasons."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from recsys.bundle import Bundle
from recsys.interest.stored import model_within
from recsys.reranking.registry import steps_of
from recsys.rules.compiled import BoundRules
from recsys.rules.request import Said, read_context
from recsys.settings import Settings
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.sources.gather import quotas_of, sources_of
from serving.api.schemas import SessionIn, SlateReply
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
    diversity: float | None = None
    """In [0, 1], in place of what the settings of the rerank steps say."""
    said: Said = field(default_factory=Said)
    """What the client says of the request and the user, for rules."""


def session_request(session: SessionIn) -> SlateRequest:
    """What an anonymous visitor's slate is asked for with.

    Raises:
        RuleError: if the context is unsound.
    """
    said = read_context(session.context)
    return SlateRequest(session.k, session.exclude_seen, diversity=session.diversity, said=said)


class SlateMaker:
    """Turns evidence into replies.

    Args:
        bundle: what is recommended from.
        settings: of this process; ``ranking`` may fix weights, ``retrieval.sources`` quotas.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self.shelf = Shelf(
            catalog=bundle.catalog,
            items=bundle.items,
            model=model_within(bundle.model, settings.ranking),
            interest=bundle.settings.interest,
            trend=bundle.settings.trend,
            neighbours=bundle.neighbours,
        )
        self._options = _options(bundle, settings)
        self._diverse_steps = steps_of(settings.reranking.with_diversity())
        self.trend = TrendMirror(bundle.settings.trend.half_lives_s, len(bundle.catalog))
        for diversity in (None, 0.5):
            request = SlateRequest(diversity=diversity)
            self.make(Evidence(self.shelf.nobody), 0.0, request)  # compiles

    def make(
        self,
        evidence: Evidence,
        as_of: float,
        request: SlateRequest,
        rules: BoundRules | None = None,
    ) -> SlateReply:
        """The slate that evidence asks for; who it is for is left to the caller.

        Args:
            evidence: a profile at ``as_of``.
            as_of: Unix seconds.
            request: length and seen filter.
            rules: that count for it.
        """
        trend_as_of = self.trend.as_of  # before the features: they may be newer, never older
        features = self.trend.features(as_of)
        request_id = uuid.uuid4()
        options = replace(
            self._options,
            k=request.k,
            exclude_seen=request.exclude_seen,
            steps=self._options.steps if request.diversity is None else self._diverse_steps,
            diversity=request.diversity,
            seed=request_id.int,
            rules=rules,
        )
        slate = make_slate(self.shelf, evidence, features, as_of, options)
        return SlateReply(
            request_id=request_id.hex,
            user_id=None,
            as_of=as_of,
            trend_as_of=trend_as_of,
            profile_version=None,
            degraded=False,
            cold_start=False,
            reason=slate.reason,
            items=slate_items(slate),
        )


def _options(bundle: Bundle, settings: Settings) -> SlateOptions:
    """What is the same for every request."""
    retrieval = bundle.settings.retrieval
    quotas = quotas_of(settings.retrieval, retrieval)
    is_large = len(bundle.catalog) >= retrieval.exact_below
    beyond = settings.serving.max_k
    sources = [(source, quota + beyond) for source, quota in sources_of(quotas)]
    return SlateOptions(
        sources=sources if is_large else None,
        retriever=bundle.index,
        steps=steps_of(settings.reranking),
        n_ranked=retrieval.n_candidates,
        seen_cooldown_s=settings.reranking.seen_cooldown_s,
    )
