"""What is known of the one who asks beside events: their words, attributes and follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.coldstart.follows import Followed
from recsys.coldstart.reading import Reader, Spoken, Statement, parse
from recsys.coldstart.told import Told
from recsys.coldstart.topics import Topics
from recsys.errors import EventError, RecsysError, UnavailableError
from recsys.people import NOBODY
from recsys.settings import Settings
from recsys.shelf import Shelf
from serving.api.checks import check_id, check_text
from serving.people import People
from serving.pool.protocol import Pool
from serving.word_reader import Encode

log = logging.getLogger(__name__)

FOLLOWED_TIMEOUT_S = 1.0
"""Seconds that a slate waits for the profiles of followed users before it does without."""
MAX_LABELS = 32
FOLLOWS = "follows"
"""The attribute of a request's user that names whom they follow."""


class NewcomerDesk:
    """Finds what counts beside events.

    Args:
        bundle: that is served.
        shelf: of it.
        pool: the profiles of followed users.
        settings: of this process.
        encode: the text encoder; None = the bundle has none.
        people: stored attributes; None = none are known.
    """

    def __init__(
        self,
        bundle: Bundle,
        shelf: Shelf,
        pool: Pool,
        settings: Settings,
        encode: Encode | None,
        people: People | None,
    ) -> None:
        self._bundle, self._shelf, self._pool = bundle, shelf, pool
        self._data, self._options = settings.data, settings.coldstart
        self._encode = encode
        self.people = people
        self._topics: Topics | None = None
        self._names: npt.NDArray[np.float32] | None = None

    async def told(
        self,
        user_id: str | None,
        interests: str | Sequence[str] | None,
        user: Mapping[str, Any],
        as_of: float,
    ) -> Told:
        """What is known beside events.

        Args:
            user_id: None = an anonymous visitor.
            interests: what is said: free text, or labels.
            user: attributes that come with the request; they are stronger than stored ones.
            as_of: Unix seconds.

        Raises:
            EventError: if what is said or who is followed is unsound.
        """
        known = NOBODY if user_id is None or self.people is None else self.people.of(user_id)
        statement = None if interests is None else await self._statement(interests)
        follows = self._follows(user.get(FOLLOWS, known.follows))
        own = {name: value for name, value in user.items() if name != FOLLOWS}
        followed = await self._followed(follows, as_of) if len(follows) > 0 else None
        return Told(statement, {**known.attributes, **own}, followed)

    async def text_vector(self, text: str) -> npt.NDArray[np.float32] | None:
        """(1, E) what the encoder makes of a text; None where it says nothing.

        Raises:
            EventError: if the text is unsound, or the bundle has no encoder.
            UnavailableError: if the encoder is away.
        """
        check_text("text", text, self._data.max_text_bytes)
        if text.strip() == "":
            return None
        if self._encode is None:
            raise EventError("text", "cannot be read: the bundle has no encoder", "Send items")
        return await self._encode([text])

    async def _statement(self, interests: str | Sequence[str]) -> Statement:
        """What is said, as far as it is understood without the encoder where that is away."""
        given = [interests] if isinstance(interests, str) else list(interests)
        if len(given) > MAX_LABELS:
            raise EventError("interests", f"are {len(given)}", f"Send at most {MAX_LABELS}")
        for text in given:
            check_text("interests", text, self._data.max_text_bytes)
        options = self._options.statement
        if self._topics is None:
            shelf = self._shelf
            args = (shelf.catalog, shelf.graph, options.max_categories)
            self._topics = await asyncio.to_thread(Topics, *args)
        spoken = parse(interests, self._topics, options.max_clauses)
        vectors = await self._read(spoken, self._topics)
        reader = Reader(self._topics, self._names, self._bundle.projection, options)
        return reader.understand(spoken, vectors, self._shelf.items.n_dims)

    async def _read(self, spoken: Spoken, topics: Topics) -> npt.NDArray[np.float32] | None:
        """(n, E) clauses as the encoder reads them, and the first time the names of categories."""
        if self._encode is None or len(spoken.clauses) == 0:
            return None
        try:
            if self._names is None and topics.n_read > 0:
                self._names = await self._encode(list(topics.read_names))
            return await self._encode(spoken.texts)
        except RecsysError as error:
            log.warning("interests are read without the encoder: %s", error)
            return None

    def _follows(self, named: Any) -> list[str]:
        if not isinstance(named, (list, tuple)) or not all(isinstance(one, str) for one in named):
            problem = "are no list of ids"
            raise EventError("user.follows", problem, 'Send {"user": {"follows": ["ann"]}}')
        for one in named:
            check_id("user.follows", one, self._data.max_id_bytes)
        return list(dict.fromkeys(named))[: self._options.follows.max_followed]

    async def _followed(self, user_ids: list[str], as_of: float) -> Followed | None:
        """The recent events of users; None where their profiles are away."""
        if self._options.follows.weight == 0.0:
            return None
        try:
            views = await self._pool.read(user_ids, as_of, {}, FOLLOWED_TIMEOUT_S)
        except UnavailableError as error:
            log.warning("slate without followed users: %s", error)
            return None
        return Followed(
            np.concatenate([view.recent_item for view in views]),
            np.concatenate([view.recent_ts for view in views]),
            np.concatenate([view.recent_importance for view in views]),
        )
