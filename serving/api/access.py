"""What the OpenAPI document says of keys and tokens."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.auth.callers import SCOPES
from serving.auth.routes import OPEN, scope_of

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`python -m serving.keys create`) or a JSON Web Token. Scopes: "
    + ", ".join(SCOPES),
}


def describe_access(app: FastAPI) -> None:
    """Add to each operation the scope that it asks for."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = BEARER
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if path not in OPEN:
                    scope = scope_of(method.upper(), path)
                    operation["security"] = [{"bearer": [] if scope is None else [scope]}]
        return document

    app.openapi = described  # type: ignore[method-assign]
