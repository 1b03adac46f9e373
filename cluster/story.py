"""The point of Halflife, told over HTTP: a new taste takes the slate at once, and then fades.

Pick a recently active user and a category that is foreign to them, post a dozen events there, and
read the slate as of later and later moments. What is shown is what the service says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from recsys.catalog import Catalog
from recsys.settings import DAY_S, HOUR_S

K = 10
N_NEW_EVENTS = 12
MIN_ITEMS = 40
MAX_SHARE = 0.1
N_TRENDING = 200
LONG_TERM_S = 14 * DAY_S
LATER_S = tuple(
    x
    for x in (
        0.0,
        HOUR_S,
        3 * HOUR_S,
        6 * HOUR_S,
        12 * HOUR_S,
        *(d * DAY_S for d in (1, 2, 3, 5, 7, 10, 14, 21, 30)),
    )
)


@dataclass(frozen=True)
class Taste:
    """A category that is foreign to the user, and items of it to act on."""

    label: str
    items: list[str]


@dataclass(frozen=True)
class Story:
    """What was seen."""

    user_id: str
    taste: str
    n_before: int
    """Items of the new taste in the top ``K`` before its events."""
    n_after: int
    """... and right after them."""
    left_after_s: float | None
    """Age of the new taste at which the top ``K`` holds no more of it than before."""
    long_term_share_now: float
    """Share of the profile's confidence that stands in half-lives of 14 days and more."""
    long_term_share_later: float
    """... 30 days on."""
    same_items_later: int
    """Of the top ``K`` 30 days on, those that would be there without the new events."""
    slate_changed: bool
    slate_faded: bool


class Service:
    """The few calls of the service that the story needs.

    Args:
        client: an ``httpx.Client`` whose base URL is the service.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def slate(self, user_id: str, as_of: float | None = None) -> dict[str, Any]:
        """The user's first ``K`` items as of a moment (default: now)."""
        return self._get(f"/v1/users/{user_id}/recommendations", as_of, k=K)

    def profile(self, user_id: str, as_of: float | None = None) -> dict[str, Any]:
        """The user's profile as of a moment (default: now)."""
        return self._get(f"/v1/users/{user_id}/profile", as_of)

    def trending(self, k: int) -> list[str]:
        """Ids of the ``k`` most popular items now."""
        return _ids(self._get("/v1/trending", None, k=k))

    def post(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Send events; they are durable when this returns."""
        reply = self._client.post("/v1/events", json={"events": events}).raise_for_status()
        answer: dict[str, Any] = reply.json()
        return answer

    def _get(self, path: str, as_of: float | None, **query: Any) -> dict[str, Any]:
        if as_of is not None:
            query["as_of"] = as_of
        answer: dict[str, Any] = self._client.get(path, params=query).raise_for_status().json()
        return answer


def foreign_taste(
    catalog: Catalog,
    vectors: np.ndarray,
    familiar: Iterable[str],
    seen: Iterable[str],
    trending: Iterable[str],
) -> Taste:
    """What everybody else turns to and this user does not, and its most typical unseen items.

    Args:
        catalog: the items.
        vectors: (N, D) unit item vectors.
        familiar: labels of the user's interests and slate; they are no candidates.
        seen: item ids that the user touched of late.
        trending: item ids that are popular now; the label that most of them bear is taken.

    Raises:
        ValueError: if no label is left.
    """
    labels_of = dict(zip(catalog.item_ids, catalog.categories, strict=True))
    sizes = Counter(label for labels in catalog.categories for label in set(labels))
    fits = {x for x, n in sizes.items() if MIN_ITEMS <= n <= len(labels_of) * MAX_SHARE}
    popular = Counter(label for item in trending for label in set(labels_of[item]))
    left = fits - set(familiar)
    if len(left) == 0:
        raise ValueError(f"no category of at least {MIN_ITEMS} items is foreign to the user")
    label = max(sorted(left), key=lambda name: popular[name])
    members = np.array([i for i, labels in enumerate(catalog.categories) if label in labels])
    order = members[np.argsort(-vectors[members] @ vectors[members].mean(axis=0), kind="stable")]
    known = set(seen)
    fresh = [catalog.item_ids[i] for i in order if catalog.item_ids[i] not in known]
    return Taste(label, fresh[:N_NEW_EVENTS])


def tell(
    service: Service,
    catalog: Catalog,
    vectors: np.ndarray,
    user_id: str,
    event: dict[str, Any],
    console: Console,
) -> Story:
    """Show the slate before, after and ever later; return what was seen.

    Args:
        service: the running service.
        catalog: items of the bundle that it serves.
        vectors: (N, D) their vectors.
        user_id: whose slate.
        event: ``kind`` and ``value`` of the events to post.
        console: where the tables go.
    """
    before, profile = service.slate(user_id), service.profile(user_id)
    later = before["as_of"] + LATER_S[-1]
    without = service.slate(user_id, later)
    taste = foreign_taste(
        catalog,
        vectors,
        _familiar(catalog, before, profile),
        {recent["item_id"] for recent in profile["recent"]},
        service.trending(N_TRENDING),
    )
    of_taste = _counter(catalog, taste.label)

    console.rule(f"[bold]User {user_id} before[/]")
    _show(console, before, profile, of_taste)
    service.post([{"user_id": user_id, "item_id": i, **event} for i in taste.items])
    after, changed = service.slate(user_id), service.profile(user_id)
    console.rule(f"[bold]... and right after {len(taste.items)} events on {taste.label!r}[/]")
    _show(console, after, changed, of_taste)

    console.rule("[bold]The same user as time goes by, with no further event[/]")
    rows = list(_fading(service, user_id, after["as_of"], of_taste))
    _show_fading(console, rows, taste.label)
    n_before, n_after = of_taste(before), of_taste(after)
    end = service.profile(user_id, rows[-1][2]["as_of"])
    left = next((age for age, n, _ in rows if age > 0 and n <= n_before), None)
    return Story(
        user_id=user_id,
        taste=taste.label,
        n_before=n_before,
        n_after=n_after,
        left_after_s=left,
        long_term_share_now=_long_term_share(changed),
        long_term_share_later=_long_term_share(end),
        same_items_later=len(set(_ids(rows[-1][2])) & set(_ids(without))),
        slate_changed=n_after > n_before and _ids(before) != _ids(after),
        slate_faded=left is not None and rows[-1][1] <= n_before,
    )


def _familiar(catalog: Catalog, slate: dict[str, Any], profile: dict[str, Any]) -> set[str]:
    shown = {label for i in _ids(slate) for label in catalog.categories[catalog.index[i]]}
    return shown | {interest["label"] for interest in profile["interests"]}


def _long_term_share(profile: dict[str, Any]) -> float:
    banks = profile["half_lives"]
    long = sum(b["confidence"] for b in banks if b["half_life_s"] >= LONG_TERM_S)
    return round(float(long / max(sum(b["confidence"] for b in banks), 1e-12)), 4)


def _fading(
    service: Service, user_id: str, start: float, of_taste: Callable[[dict[str, Any]], int]
) -> Iterator[tuple[float, int, dict[str, Any]]]:
    for age in LATER_S:
        slate = service.slate(user_id, start + age)
        yield age, of_taste(slate), slate


def _counter(catalog: Catalog, label: str) -> Callable[[dict[str, Any]], int]:
    def count(slate: dict[str, Any]) -> int:
        rows = (catalog.index[item["item_id"]] for item in slate["items"])
        return sum(label in catalog.categories[row] for row in rows)

    return count


def _ids(slate: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in slate["items"]]


def _show(
    console: Console,
    slate: dict[str, Any],
    profile: dict[str, Any],
    of_taste: Callable[[dict[str, Any]], int],
) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "item", "score", "why"):
        table.add_column(heading, overflow="fold")
    for item in slate["items"]:
        style = "bold magenta" if of_taste({"items": [item]}) else ""
        title = item["title"] or item["item_id"]
        score = f"{item['score']:.2f}"
        table.add_row(str(item["rank"]), title, score, item["reason"]["text"], style=style)
    console.print(table)
    strongest = profile["interests"][:5]
    bars = "  ".join(f"{i['label']} {'█' * max(1, round(20 * i['weight']))}" for i in strongest)
    console.print(f"[cyan]interests now[/]  {bars}\n", soft_wrap=True)


def _show_fading(
    console: Console, rows: list[tuple[float, int, dict[str, Any]]], label: str
) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("as of", f"{label} in the top {K}", "first item"):
        table.add_column(heading)
    for age, n_items, slate in rows:
        first = slate["items"][0]
        bar = "█" * n_items + "·" * (K - n_items)
        table.add_row(_age(age), f"{bar} {n_items}", first["title"] or first["item_id"])
    console.print(table)


def _age(seconds: float) -> str:
    if seconds == 0:
        return "now"
    return f"+{seconds / DAY_S:g} d" if seconds >= DAY_S else f"+{seconds / HOUR_S:g} h"
