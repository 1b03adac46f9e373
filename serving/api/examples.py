"""Examples in the OpenAPI document: what is sent, and what comes back."""

from __future__ import annotations

from typing import Any

_AT = 1_764_150_000.0
_ITEM = {
    "item_id": "172",
    "title": "Empire Strikes Back, The (1980)",
    "rank": 1,
    "score": 1.42,
    "parts": {"interest": 1.3, "trend": 0.12},
    "sources": ["interest"],
    "rules": [],
}
_SLATE = {
    "request_id": "9f2c1e7a",
    "user_id": "479",
    "as_of": _AT,
    "trend_as_of": _AT - 0.2,
    "profile_version": "3.17",
    "degraded": False,
    "cold_start": False,
    "items": [_ITEM],
}
_EVENTS = {"accepted": 2, "duplicates": 0, "pending": 0, "rejected": [], "version": "3.17"}
_RULE = {
    "id": "no-horror",
    "when": '"Horror" in item.categories',
    "action": {"type": "filter"},
}
_WISH = {
    "node": 4,
    "label": "horror",
    "mute": True,
    "boost": None,
    "pin": False,
    "forgotten_at": None,
    "is_active": True,
}
_LIKE = {"item_id": "172", "title": _ITEM["title"], "rank": 1, "score": 0.91}
_FILM = {
    "item_id": "172",
    "title": _ITEM["title"],
    "text": None,
    "categories": ["Action", "Adventure"],
    "image_uri": None,
    "audio_uri": None,
    "available_from": None,
    "available_until": None,
    "created_at": None,
    "attributes": {"year": "1980"},
}
_WRITTEN = {"item_ids": ["172"], "deleted": [], "others_look_within_s": 0.25}
_BUNDLE = {
    "bundle_id": "b-5f1d",
    "is_current": True,
    "is_served": True,
    "created_at": _AT - 86_400.0,
    "model": "learned",
    "n_snapshots": 64,
}
_PERSON = {"user_id": "479", "attributes": {"country": "DE", "plan": "free"}, "follows": ["12"]}
_WISHED = {"user_id": "479", "version": "3.18", "wish": _WISH}

BODIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/recommendations"): {"items": ["50", "172"], "text": "space adventure", "k": 5},
    ("patch", "/v1/users/{user_id}/interests/{interest}"): {"mute": True},
    ("put", "/v1/rules"): {"rules": [_RULE], "expected_version": None},
    ("post", "/v1/rules/rollback"): {"version": None, "expected_version": "r-81c2"},
    ("post", "/v1/rules/dry-run"): {"rules": [_RULE], "user_id": "479", "k": 5},
}
"""By method and path; bodies whose routes bring none of their own."""

REPLIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/events"): _EVENTS,
    ("post", "/v1/slates/{request_id}/feedback"): _EVENTS,
    ("get", "/v1/users/{user_id}/recommendations"): _SLATE,
    ("post", "/v1/recommendations"): {**_SLATE, "user_id": None, "profile_version": None},
    ("post", "/v1/recommendations:batch"): {"as_of": _AT, "slates": [_SLATE]},
    ("get", "/v1/users/{user_id}"): {
        **_PERSON,
        "is_known": True,
        "n_events": 17,
        "latest_event": _AT - 60.0,
        "profile_version": "3.17",
        "as_of": _AT,
    },
    ("put", "/v1/users/{user_id}"): {**_PERSON, "elsewhere_within_s": 5.0},
    ("patch", "/v1/users/{user_id}"): {**_PERSON, "elsewhere_within_s": 5.0},
    ("delete", "/v1/users/{user_id}"): {
        "receipt": {"format": 1, "erased_until": _AT, "left": {"archive": 1}, "signature": "5d0c"},
        "done": ["the tombstone is durable"],
        "left": ["rows in ledger and archive"],
        "shards_forget_within_s": 0.75,
        "finish": "python -m pipelines.erase --store S --user U",
    },
    ("get", "/v1/users/{user_id}/export"): {
        "tenant": "default",
        "user_id": "479",
        "as_of": _AT,
        "erased_until": None,
        "events": [{"item_id": "172", "kind": "click", "ts": _AT - 60.0}],
        "profiles": [],
        "attributes": None,
        "n_followers": 0,
        "quarantine": [],
    },
    ("get", "/v1/users/{user_id}/profile"): {
        "user_id": "479",
        "as_of": _AT,
        "last_event_at": _AT - 60.0,
        "n_events": 17,
        "profile_version": "3.17",
        "cold_start": False,
        "query": [0.12, -0.31],
        "half_lives": [{"half_life_s": 604_800.0, "mass": 3.1, "confidence": 0.76}],
        "interests": [{"label": "space", "weight": 1.0}],
        "recent": [],
    },
    ("patch", "/v1/users/{user_id}/interests/{interest}"): _WISHED,
    ("get", "/v1/items/{item_id}/similar"): {"item_id": "50", "items": [_LIKE]},
    ("get", "/v1/items/{item_id}"): _FILM,
    ("get", "/v1/items"): {"items": [_FILM], "next_cursor": "MTcy"},
    ("put", "/v1/items/{item_id}"): _WRITTEN,
    ("patch", "/v1/items/{item_id}"): _WRITTEN,
    ("delete", "/v1/items/{item_id}"): {**_WRITTEN, "item_ids": [], "deleted": ["172"]},
    ("post", "/v1/items:bulk"): {**_WRITTEN, "deleted": ["9"]},
    ("get", "/v1/trending"): {
        "as_of": _AT,
        "trend_as_of": _AT - 0.2,
        "half_lives_s": [86_400.0],
        "items": [{**_LIKE, "mass": [41.5]}],
    },
    ("get", "/v1/popular"): {
        "as_of": _AT,
        "trend_as_of": _AT - 0.2,
        "half_lives_s": [86_400.0, 315_360_000.0],
        "items": [{**_LIKE, "mass": [41.5, 583.0]}],
    },
    ("get", "/v1/latest"): {
        "as_of": _AT,
        "items": [{"item_id": "172", "title": "Ran", "rank": 1, "available_from": _AT - 9.0}],
    },
    ("get", "/v1/search"): {
        "as_of": _AT,
        "is_personal": True,
        "items": [{**_LIKE, "relevance": 0.61}],
    },
    ("get", "/v1/bundles"): {"bundles": [_BUNDLE], "next_cursor": None},
    ("get", "/v1/bundles/{bundle_id}"): _BUNDLE,
    ("get", "/v1/stats"): {
        "tenant": "default",
        "bundle_id": "b-5f1d",
        "rules_version": None,
        "n_items": 1_682,
        "n_users": 943,
        "n_events": 100_000,
        "n_appended": 120,
        "n_partitions": 64,
        "n_shards": 2,
        "queue_s": 0.004,
        "trend_as_of": _AT - 0.2,
        "as_of": _AT,
        "uptime_s": 3_600.0,
    },
    ("get", "/readyz"): {"status": "ready", "bundle_id": "b-5f1d"},
}
"""By method and path; of the reply when all is well."""


def add_examples(document: dict[str, Any]) -> None:
    """Put the examples into an OpenAPI document."""
    for (method, path), example in BODIES.items():
        body = document["paths"][path][method]["requestBody"]
        body["content"]["application/json"]["example"] = example
    for (method, path), example in REPLIES.items():
        replies = document["paths"][path][method]["responses"]
        good = min(status for status in replies if status.startswith("2"))
        replies[good]["content"]["application/json"]["example"] = example
