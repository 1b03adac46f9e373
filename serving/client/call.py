"""One call of the API, without input and output: what to send, and what the reply means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from serving.client.errors import error_of

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Reply]):
    """What to send, and what comes back."""

    model: type[Reply]
    method: str
    route: str
    """Template of the path; it stands in errors, which name no ids."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Of the template."""
    query: Mapping[str, Any] = field(default_factory=dict)
    """Parameters; those that are None are not sent."""
    body: Any = None
    is_repeatable: bool = True
    """Whether doing it twice is as good as once."""
    is_retried: bool = True
    """False: the first answer counts."""
    reads: str | None = None
    """The user whose own writes are to be seen; None = nobody's."""
    writes: tuple[str, ...] = ()
    """Users whose profiles are changed; the reply then has a ``version``."""

    @property
    def thing(self) -> str:
        """What was asked, for errors."""
        return f"{self.method} {self.route}"

    def request(self, min_version: str | None) -> dict[str, Any]:
        """Arguments of ``httpx.Client.request``.

        Args:
            min_version: token of the user's own writes; None = none is known.
        """
        path = self.route.format(**{name: quote(one, safe="") for name, one in self.ids.items()})
        query = {name: _text(value) for name, value in self.query.items() if value is not None}
        if min_version is not None:
            query.setdefault("min_version", min_version)
        told: dict[str, Any] = {"method": self.method, "url": path, "params": query}
        return told if self.body is None else {**told, "json": self.body}

    def reply(self, response: httpx.Response) -> Reply:
        """The reply as its model.

        Raises:
            RecsysError: the leaf that the status stands for (``serving.client.errors``).
        """
        if response.is_success:
            return self.model.model_validate_json(response.content)
        raise error_of(self.thing, response)


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
