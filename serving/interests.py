"""The interest graph as it is asked for: as a whole, and where one user is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import numpy as np

from recsys.bundle import Bundle
from recsys.errors import EventError, NotFoundError
from recsys.graph.activation import activation
from recsys.graph.interest_graph import InterestGraph
from recsys.graph.overlay import Drift, Overlay, direction, drift, overlay
from recsys.rules.compiled import BoundRules
from recsys.rules.items import ItemFacts
from recsys.rules.request import RequestFacts
from recsys.settings import DAY_S, Settings
from recsys.shelf import Evidence, Shelf
from recsys.wishes.matching import Wished, matched
from recsys.wishes.steering import remembered, silenced
from recsys.wishes.wish import Value
from serving.api.checks import check_id, parse_time
from serving.api.events import erased_user
from serving.api.graph_schemas import (
    AdjacentOut,
    EdgeOut,
    ForecastOut,
    GraphReply,
    InterestsReply,
    NodeOut,
    UserInterestOut,
    WishReply,
)
from serving.api.schemas import RecentOut
from serving.asking import Asker, check_as_of
from serving.drift_meters import DriftMeters, DriftWatch
from serving.evidence import evidence_of
from serving.pool.messages import ProfileView
from serving.pool.protocol import Pool
from serving.replies import profile_version, recent_events
from serving.versions import format_versions
from serving.wishes import Steering, steering, target, told, wish_event, wish_out, wishes_out

N_EVIDENCE, N_ADJACENT = 3, 5
MAX_EDGES = 2_000


class InterestDesk:
    """Answers what is asked of interests.

    Args:
        bundle: that is served.
        shelf: of it.
        pool: the profiles.
        settings: of this process.
        now: Unix seconds.
        meters: told how interests drift; None = nobody is.
    """

    def __init__(
        self,
        bundle: Bundle,
        shelf: Shelf,
        pool: Pool,
        settings: Settings,
        now: Callable[[], float],
        meters: DriftMeters | None = None,
    ) -> None:
        self._bundle = bundle
        self._shelf = shelf
        self._pool = pool
        self._max_id_bytes = settings.data.max_id_bytes
        self._now = now
        self._items = ItemFacts(bundle.catalog)
        self._watch = DriftWatch(shelf.graph, DriftMeters() if meters is None else meters)

    async def of_user(
        self, user_id: str, asked: float | str | None, since: float | str | None
    ) -> InterestsReply:
        """Where a user is in the graph.

        Raises:
            EventError: if an argument is unsound, or ``as_of`` is before the user's last event.
            NotFoundError: if the bundle has no graph.
            UnavailableError: if the profile is away.
        """
        as_of = self._now() if asked is None else parse_time("as_of", asked)
        moment = None if since is None else parse_time("since", since)
        check_id("user_id", user_id, self._max_id_bytes)
        (view,) = await self._pool.read([user_id], as_of, {})
        check_as_of(view, as_of, asked)
        if asked is None:
            self._watch.look(user_id, evidence_of(view), view.as_of)
        return await asyncio.to_thread(interests_reply, self._shelf, view, moment)

    async def wish(self, user_id: str, interest: str, changes: Mapping[str, Value]) -> WishReply:
        """Write down what a user wants of an interest; it is durable when this returns.

        Args:
            user_id: who.
            interest: label or number of a node, or the label of a wish that has none any more.
            changes: fields of a wish, with their new values.

        Raises:
            EventError: if the id is unsound, or too many interests are spoken of.
            NotFoundError: if there is no such interest, or the bundle has no graph.
            UnavailableError: if it could not be made durable in time.
        """
        graph, now = _graph(self._bundle.graph), self._now()
        check_id("user_id", user_id, self._max_id_bytes)
        (view,) = await self._pool.read([user_id], now, {})
        to = target(interest, view, graph)
        event = wish_event(self._bundle.tenant, view, to, changes, now)
        ack = await self._pool.append([event])
        if len(ack.refused) > 0:
            raise erased_user()
        (view,) = await self._pool.read([user_id], now, ack.versions)
        version = format_versions(ack.versions)
        return WishReply(user_id=user_id, wish=told(to, view.wishes, graph), version=version)

    def steer(self, asker: Asker, bound: BoundRules | None, facts: RequestFacts) -> Steering:
        """What wishes leave of a request for a slate."""
        if asker.view is None:
            return Steering(asker.evidence, bound, None)
        self._watch.look(asker.view.user_id, asker.evidence, asker.as_of)
        wishes = asker.view.wishes
        return steering(self._shelf, self._items, asker.evidence, wishes, bound, facts)

    def graph(self, n_edges: int) -> GraphReply:
        """The graph; errors as of ``graph_reply``."""
        return graph_reply(self._bundle, n_edges)


def graph_reply(bundle: Bundle, n_edges: int) -> GraphReply:
    """The graph of a bundle, and its strongest edges.

    Raises:
        NotFoundError: if the bundle has none.
        EventError: if too many edges are asked for.
    """
    graph = _graph(bundle.graph)
    if not 0 <= n_edges <= MAX_EDGES:
        raise EventError("edges", f"is {n_edges}", f"Ask for 0 to {MAX_EDGES}")
    return GraphReply(
        bundle_id=bundle.bundle_id,
        as_of=graph.as_of,
        edge_half_life_s=graph.options.edge_half_life_s,
        nodes=[
            NodeOut(
                node=a,
                label=name.label,
                words=list(name.words),
                word_shares=list(name.shares),
                n_items=int(graph.sizes[a]),
                mass=float(graph.mass[a]),
            )
            for a, name in enumerate(graph.labels)
        ],
        edges=[EdgeOut(**edge._asdict()) for edge in graph.strongest(n_edges)],
    )


def interests_reply(shelf: Shelf, view: ProfileView, since: float | None) -> InterestsReply:
    """A user's interests, the strongest first; dead ones that were alive at ``since`` too.

    Args:
        shelf: of the bundle.
        view: the profile.
        since: Unix seconds to compare with, not after the view's moment; None = with nothing.

    Raises:
        NotFoundError: if the bundle has no graph.
        EventError: if ``since`` is later than the moment.
    """
    graph = _graph(shelf.graph)
    if since is not None and since > view.as_of:
        raise EventError("since", f"is after the moment {view.as_of:.6f}", "Give an earlier time")
    wished = matched(view.wishes, graph)
    held = remembered(evidence_of(view), wished, graph)
    now, wishes = overlay(held, graph, view.as_of), wishes_out(wished, graph)
    changes = None if since is None else drift(overlay(held, graph, since), now)
    there = np.flatnonzero((now.n_events > 0) | (now.against > 0.0))
    order = there[np.argsort(-now.weight[there], kind="stable")]
    n_held = len(view.recent_item)
    events = _evidence_of(graph, wished, view, recent_events(shelf, view))
    awake = activation(now.weight, graph)
    near = [int(a) for a in np.argsort(-awake, kind="stable") if awake[a] > 0 and a not in there]
    return InterestsReply(
        user_id=view.user_id,
        as_of=view.as_of,
        since=since,
        profile_version=profile_version(view),
        cold_start=not view.is_known,
        is_whole=n_held < shelf.interest.n_recent or view.n_events <= n_held,
        short_half_life_s=graph.options.short_half_life_s,
        long_half_life_s=graph.options.long_half_life_s,
        interests=[
            one.model_copy(update={"wish": wishes.get(one.node)})
            for one in _interests(graph, held, now, changes, order, events)
        ],
        adjacent=[
            AdjacentOut(node=a, label=graph.labels[a].label, activation=float(awake[a]))
            for a in near[:N_ADJACENT]
        ],
        wishes=[*wishes.values(), *(wish_out(wish, None, graph) for wish in wished.inactive)],
    )


def _interests(
    graph: InterestGraph,
    held: Evidence,
    now: Overlay,
    changes: list[Drift] | None,
    order: np.ndarray,
    events: dict[int, list[RecentOut]],
) -> list[UserInterestOut]:
    soon, week, month = (now.after(days * DAY_S) for days in (1.0, 7.0, 30.0))
    lives, directions, shares = now.half_in_s, direction(held, graph, now), now.shares
    lives = np.where(np.isnan(lives), graph.options.long_half_life_s, lives)
    return [
        UserInterestOut(
            node=a,
            label=graph.labels[a].label,
            weight=float(now.weight[a]),
            share=float(shares[a]),
            short=float(now.short[a]),
            long=float(now.long[a]),
            against=float(now.against[a]),
            half_life_s=float(lives[a]),
            direction=directions[a],
            forecast=ForecastOut(
                after_1d=float(soon[a]),
                after_7d=float(week[a]),
                after_30d=float(month[a]),
                half_at=now.as_of + float(lives[a]),
            ),
            change=None if changes is None else changes[a],
            n_events=int(now.n_events[a]),
            events=events.get(a, [])[:N_EVIDENCE],
        )
        for a in order.tolist()
    ]


def _evidence_of(
    graph: InterestGraph, wished: Wished, view: ProfileView, recent: list[RecentOut]
) -> dict[int, list[RecentOut]]:
    """Node -> its positive events that count, the latest first."""
    found: dict[int, list[RecentOut]] = {}
    gone = silenced(evidence_of(view), wished, graph, muted=False).tolist()
    for row, event, is_gone in zip(view.recent_item.tolist(), recent, gone, strict=True):
        if row >= 0 and event.importance > 0.0 and not is_gone:
            found.setdefault(int(graph.node[row]), []).append(event)
    return found


def _graph(graph: InterestGraph | None) -> InterestGraph:
    if graph is None:
        raise NotFoundError(
            "interest graph of the bundle",
            "does not exist",
            "Serve a bundle of a newer `pipelines.train` or `pipelines.embed`",
        )
    return graph
