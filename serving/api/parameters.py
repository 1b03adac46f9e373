"""What several routes are asked with: ids in paths, and moments."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.convertors import Convertor, register_url_convertor

AsOf = Annotated[
    str | None,
    Query(description="The moment: Unix seconds or ISO 8601 (UTC where no offset is given)."),
]
UserId = Annotated[str, Path(description="The user's id, percent-encoded.")]
ItemId = Annotated[str, Path(description="The item's id, percent-encoded.")]
ItemFilter = Annotated[
    str | None,
    Query(
        alias="filter",
        description="Only items of which this holds, in the language of rules: "
        "'\"sale\" in item.categories && item.age_days < 30.0'. At most 2,000 characters.",
    ),
]
RequestId = Annotated[str, Path(description="The request_id of the slate's reply.")]


class _IdConvertor(Convertor[str]):
    """Any text, slashes and line breaks included, so that a bad id is a 422 and no 404."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())
