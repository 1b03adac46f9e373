"""The story of the demo, told by a service that is made up."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cluster.story import LATER_S, N_NEW_EVENTS, K, foreign_taste, tell
from recsys.catalog import Catalog

NOW = 1_000_000.0
N_EACH = 50


@pytest.fixture
def catalog() -> Catalog:
    labels = [*(["jazz"] * N_EACH), *(["rock"] * N_EACH), *(["folk"] * N_EACH), *(["all"] * 900)]
    n_items = len(labels)
    return Catalog(
        item_ids=[f"i{n:04d}" for n in range(n_items)],
        titles=[f"{label} {n}" for n, label in enumerate(labels)],
        texts=[""] * n_items,
        categories=[(label,) for label in labels],
        available_from=np.full(n_items, -np.inf),
        available_until=np.full(n_items, np.inf),
    )


@pytest.fixture
def vectors(catalog: Catalog, rng: np.random.Generator) -> np.ndarray:
    found = rng.normal(size=(len(catalog.item_ids), 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class MadeUp:
    """Jazz, until rock is posted; then rock for two days."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    def slate(self, user_id: str, as_of: float | None = None) -> dict[str, Any]:
        as_of = NOW if as_of is None else as_of
        is_rock = len(self.posted) > 0 and as_of - NOW < 2 * 86_400
        first = 50 if is_rock else 0
        items = [
            {
                "item_id": f"i{first + n:04d}",
                "title": "",
                "rank": n + 1,
                "score": 1.0,
                "reason": {"text": ""},
            }
            for n in range(K)
        ]
        return {"as_of": as_of, "items": items}

    def profile(self, user_id: str, as_of: float | None = None) -> dict[str, Any]:
        fresh = 1.0 if as_of is None else 0.0
        banks = [{"half_life_s": 3_600.0, "confidence": fresh}]
        banks.append({"half_life_s": 90 * 86_400.0, "confidence": 1.0})
        interests = [{"label": "jazz", "weight": 1.0}]
        return {"interests": interests, "recent": [{"item_id": "i0051"}], "half_lives": banks}

    def trending(self, k: int) -> list[str]:
        return [f"i{n:04d}" for n in (0, 1, 2, 60, 61, 110)][:k]

    def post(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        self.posted += events
        return {}


def test_a_foreign_taste_is_popular_and_not_the_users_own(
    catalog: Catalog, vectors: np.ndarray
) -> None:
    trending = MadeUp().trending(200)
    taste = foreign_taste(catalog, vectors, ["jazz"], ["i0051"], trending)
    assert taste.label == "rock"  # folk is less popular, and "all" says nothing about anybody
    assert len(set(taste.items)) == N_NEW_EVENTS and "i0051" not in taste.items
    assert {catalog.categories[catalog.index[i]] for i in taste.items} == {("rock",)}


def test_without_a_foreign_category_there_is_no_story(
    catalog: Catalog, vectors: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="foreign"):
        foreign_taste(catalog, vectors, ["jazz", "rock", "folk"], [], [])


def test_the_story_says_what_the_service_said(catalog: Catalog, vectors: np.ndarray) -> None:
    service, page = MadeUp(), StringIO()
    event = {"kind": "play", "value": 1.0}
    console = Console(file=page, width=120)
    told = tell(service, catalog, vectors, "ann", event, console)  # type: ignore[arg-type]
    assert len(service.posted) == N_NEW_EVENTS
    assert all(posted["kind"] == "play" for posted in service.posted)
    assert (told.taste, told.n_before, told.n_after) == ("rock", 0, K)
    assert told.left_after_s == 2 * 86_400 and LATER_S[-1] == 30 * 86_400
    assert (told.long_term_share_now, told.long_term_share_later) == (0.5, 1.0)
    assert told.same_items_later == K and told.slate_changed and told.slate_faded
    assert "rock in the top 10" in page.getvalue()
