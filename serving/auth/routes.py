"""Which scope a route asks for. A route that stands nowhere here is open to nobody."""

from __future__ import annotations

import re

from serving.auth.callers import Scope

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that ask nobody who they are: what balancers and kubelets look at."""

_READS = frozenset({"GET", "HEAD"})

_RULES: tuple[tuple[str, str, Scope], ...] = (
    ("POST", r"/v1/events", "ingest"),
    ("POST", r"/v1/slates/\{[^/]+\}/feedback", "ingest"),
    ("DELETE", r"/v1/users/\{[^/]+\}", "privacy"),
    ("GET", r"/v1/users/\{[^/]+\}/export", "privacy"),
    ("PUT|PATCH", r"/v1/users/\{[^/]+\}", "ingest"),
    ("PATCH|DELETE", r"/v1/users/\{[^/]+\}/interests/\{[^/]+\}", "ingest"),
    ("GET", r"/v1/users/\{[^/]+\}(/.*)?", "recommend"),
    ("POST", r"/v1/recommendations(:batch)?", "recommend"),
    ("PUT|PATCH|DELETE|POST", r"/v1/items.*", "catalog"),
    ("GET", r"/v1/(items.*|trending|latest|popular|search|graph)", "recommend"),
    (".*", r"/v1/(rules|bundles|stats)(/.*)?", "admin"),
)


def scope_of(method: str, template: str) -> Scope | None:
    """The scope that a route asks for; None = nobody may.

    Args:
        method: of HTTP.
        template: of the path, for example ``/v1/users/{user_id:id}/profile``.

    >>> scope_of("DELETE", "/v1/users/{user_id:id}")
    'privacy'
    """
    method = "GET" if method in _READS else method
    for methods, path, scope in _RULES:
        if re.fullmatch(methods, method) and re.fullmatch(path, template):
            return scope
    return None
