"""Making slates: sources, trend as of the moment, exact scores, rerank steps, reasons."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.eligibility import eligible
from recsys.errors import EventError
from recsys.interest.model import FoldBatch
from recsys.interest.stored import model_within
from recsys.ranker.model import Ranker
from recsys.reasons import Explain, find_event, history_evidence, without_event
from recsys.reranking.registry import steps_of
from recsys.reranking.seen import still_seen
from recsys.rules.compiled import BoundRules
from recsys.rules.request import Said, read_context
from recsys.settings import DataSettings, Settings
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.sources.gather import quotas_of, sources_of
from serving.api.reason_schemas import WithoutOut
from serving.api.schemas import CounterfactualOut, SessionIn, SlateReply
from serving.observability.request import current
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
    explain: Explain = "reason"
    without: str | None = None
    """With ``full``: the event that a second slate goes without (``recsys.reasons.find_event``)."""
    said: Said = field(default_factory=Said)
    """What the client says of the request and the user."""
    interests: str | tuple[str, ...] | None = None
    """What the user says of their taste: free text, or labels."""

    def __post_init__(self) -> None:
        if self.without is not None and self.explain != "full":
            raise EventError("without", "needs explain=full", "Ask for explain=full")


def session_request(session: SessionIn) -> SlateRequest:
    """What an anonymous visitor's slate is asked for with.

    Raises:
        RuleError: if the context is unsound.
    """
    said, said_of = read_context(session.context), session.interests
    return SlateRequest(
        session.k,
        session.exclude_seen,
        diversity=session.diversity,
        explain=session.explain,
        without=session.without,
        said=said,
        interests=tuple(said_of) if isinstance(said_of, list) else said_of,
    )


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
            graph=bundle.graph,
            segments=bundle.segments,
            coldstart=settings.coldstart,
            ranker=None if settings.ranker.kind == "none" else bundle.ranker,
        )
        self._options = _options(bundle, settings)
        self._diverse_steps = steps_of(settings.reranking.with_diversity())
        self.trend = TrendMirror(bundle.settings.trend.half_lives_s, len(bundle.catalog))
        nothing = np.zeros((0, 0), np.float32), 0.0, np.zeros(0, np.bool_)
        self._seen_there: tuple[npt.NDArray[np.float32], float, npt.NDArray[np.bool_]] = nothing
        self._warm_up(bundle.settings.data)

    def rank_by(self, ranker: Ranker) -> None:
        """Rank by other weights from now on."""
        self.shelf = replace(self.shelf, ranker=ranker)

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
            explain=request.explain,
            rules=rules,
            there=self._there(features, as_of),
        )
        laps = current().laps()
        slate = make_slate(self.shelf, evidence, features, as_of, options, laps)
        is_full = request.explain == "full"
        return SlateReply(
            request_id=request_id.hex,
            user_id=None,
            as_of=as_of,
            trend_as_of=trend_as_of,
            profile_version=None,
            degraded=False,
            cold_start=False,
            reason=slate.reason,
            explained_from=None if not is_full else "held" if evidence.behind is None else "record",
            counterfactual=self._counterfactual(evidence, features, as_of, request, options),
            items=slate_items(slate),
        )

    def _there(self, features: npt.NDArray[np.float32], as_of: float) -> npt.NDArray[np.bool_]:
        """(N,) the items that can be had; for all who ask of one moment it is worked out once."""
        of, at, found = self._seen_there
        if of is not features or at != as_of:
            found = eligible(self.shelf, features, as_of)
            self._seen_there = features, as_of, found
        return found

    def _counterfactual(
        self,
        evidence: Evidence,
        features: npt.NDArray[np.float32],
        as_of: float,
        request: SlateRequest,
        options: SlateOptions,
    ) -> CounterfactualOut | None:
        """The slate without the event that is named; trend, seen items and draws are the same."""
        if request.without is None:
            return None
        named = find_event(self.shelf, evidence, request.without)
        other = without_event(self.shelf, evidence, named.position, as_of)
        seen = still_seen(evidence, as_of, options.seen_cooldown_s)
        options = replace(options, explain="none", seen_cooldown_s=None)
        other = replace(other, seen=seen)
        slate = make_slate(self.shelf, other, features, as_of, options)
        without = WithoutOut(**asdict(named))
        return CounterfactualOut(without=without, items=slate_items(slate))

    def _warm_up(self, data: DataSettings) -> None:
        """Compile all that a slate needs, before anybody waits for one."""
        for diversity in (None, 0.5):
            self.make(Evidence(self.shelf.nobody), 0.0, SlateRequest(diversity=diversity))
        if len(self.shelf.catalog) == 0:
            return
        kinds = np.array([*self.shelf.interest.positive_kinds[:1], None], object)[:1]
        one = FoldBatch(np.zeros(1, np.int32), np.zeros(1), kinds, np.full(1, np.nan))
        evidence = history_evidence(self.shelf, one, data, 0.0, None)
        self.make(evidence, 0.0, SlateRequest(explain="full", without="event:0"))


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
