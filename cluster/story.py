"""The point of Halflife, told over HTTP: a new taste takes the slate at once, and then fades.

Pick a recently active user and a category that is foreign to them, post a dozen events there, and
read the slate as of later and later moments. What is shown is what the service says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
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
MIN_CATEGORY_ITEMS = 30
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
    n_after: int
    left_after_s: float | None
    similarity_later: float
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
    catalog: Catalog, vectors: np.ndarray, query: np.ndarray, seen: set[str]
) -> Taste:
    """The category that lies farthest from a query, and its most typical unseen items.

    Args:
        catalog: the items.
        vectors: (N, D) unit item vectors.
        query: (D,) what the user is after now.
        seen: item ids that the user touched.

    Raises:
        ValueError: if no category holds ``MIN_CATEGORY_ITEMS`` items.
    """
    sizes = Counter(c for cs in catalog.categories for c in cs)
    best: tuple[float, Taste] | None = None
    for label, n_items in sorted(sizes.items()):
        if n_items < MIN_CATEGORY_ITEMS or n_items > len(catalog.item_ids) // 5:
            continue
        members = np.array([i for i, cs in enumerate(catalog.categories) if label in cs])
        centre = vectors[members].mean(axis=0)
        order = members[np.argsort(-vectors[members] @ centre, kind="stable")]
        fresh = [catalog.item_ids[i] for i in order if catalog.item_ids[i] not in seen]
        closeness = float(centre @ query / (np.linalg.norm(centre) + 1e-9))
        if len(fresh) >= N_NEW_EVENTS + K and (best is None or closeness < best[0]):
            best = closeness, Taste(label, fresh[:N_NEW_EVENTS])
    if best is None:
        raise ValueError(f"no category has {MIN_CATEGORY_ITEMS} items: the story needs one")
    return best[1]


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
    before = service.slate(user_id)
    profile = service.profile(user_id)
    now = before["as_of"]
    later = now + LATER_S[-1]
    query_later = np.array(service.profile(user_id, later)["query"], np.float32)
    seen = {recent["item_id"] for recent in profile["recent"]}
    taste = foreign_taste(catalog, vectors, np.array(profile["query"], np.float32), seen)
    of_taste = _counter(catalog, taste.label)

    console.rule(f"[bold]User {user_id} before[/]")
    _show(console, before, profile, of_taste)
    service.post([{"user_id": user_id, "item_id": i, **event} for i in taste.items])
    after, changed = service.slate(user_id), service.profile(user_id)
    console.rule(f"[bold]... and right after {N_NEW_EVENTS} events on {taste.label!r}[/]")
    _show(console, after, changed, of_taste)

    console.rule("[bold]The same user as time goes by[/]")
    start = after["as_of"]
    rows = list(_fading(service, user_id, start, of_taste))
    _show_fading(console, rows, taste.label)
    n_before, n_after = of_taste(before), of_taste(after)
    left = next((age for age, n, _ in rows if age > 0 and n <= n_before), None)
    query_then = np.array(service.profile(user_id, later + 1)["query"], np.float32)
    return Story(
        user_id=user_id,
        taste=taste.label,
        n_before=n_before,
        n_after=n_after,
        left_after_s=left,
        similarity_later=round(_cosine(query_then, query_later), 4),
        slate_changed=n_after > n_before and _ids(before) != _ids(after),
        slate_faded=left is not None and rows[-1][1] <= n_before,
    )


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


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))


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
