"""Bodies that are read by hand: checked against a model, and described in the OpenAPI document."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from recsys.errors import EventError

REF = "#/components/schemas/{model}"

Body = TypeVar("Body", bound=BaseModel)

_described: dict[str, type[BaseModel]] = {}


def described(model: type[BaseModel], example: Any) -> dict[str, Any]:
    """The OpenAPI entry of a body, as ``openapi_extra`` of its route takes it.

    Args:
        model: of the body.
        example: a sound body, JSON-ready.
    """
    content = {"schema": reference(model), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """A schema that refers to a model, which then stands in the document."""
    _described[model.__name__] = model
    return {"$ref": REF.format(model=model.__name__)}


def described_models() -> tuple[type[BaseModel], ...]:
    """The models of all bodies that were described."""
    return tuple(_described.values())


def read_model(model: type[Body], raw: Any) -> Body:
    """A body as its model.

    Raises:
        EventError: naming the first place that is unsound.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise EventError(place, first["msg"]) from error
