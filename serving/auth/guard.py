"""The guard: lets requests in by key or token, scope, tenant and rate, and notes who did what."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recsys.auth_options import AuthSettings
from recsys.errors import ConfigError
from serving.auth.callers import Caller, Scope
from serving.auth.keys import KeyRing
from serving.auth.limits import Limiter
from serving.auth.tokens import TokenReader

log = logging.getLogger(__name__)
audit = logging.getLogger("serving.audit")

AUDITED: frozenset[Scope] = frozenset({"admin", "catalog", "privacy"})
MAX_HEADER_CHARS = 8_192
MISSING = "Send Authorization: Bearer KEY; `python -m serving.keys create` makes a key"


class AccessError(Exception):
    """A request that is not let in.

    Args:
        status: of HTTP: 401, 403 or 429.
        detail: a sentence for the client; the same whether or not what was asked for exists.
        wait_s: seconds after which it may be sent again; of 429 only.
    """

    def __init__(self, status: int, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(status, detail, wait_s)
        self.status, self.detail, self.wait_s = status, detail, wait_s

    @property
    def headers(self) -> dict[str, str]:
        """That go with the reply (RFC 6750, RFC 9110)."""
        if self.status == 401:
            return {"WWW-Authenticate": 'Bearer realm="halflife"'}
        return {"Retry-After": str(max(1, math.ceil(self.wait_s)))} if self.status == 429 else {}


class Deed(NamedTuple):
    """What a caller did, for the log."""

    action: str
    """Method and template of the route, or the name of the call."""
    status: int
    request_id: str
    user_id: str | None


class Guard:
    """Stands before every route.

    Args:
        settings: where keys and tokens come from.
        tenant: of this application; callers of others are not let in.
        limiter: holds callers to their rates.
        pseudonyms: key that user ids are hashed with in the log.
        keys: of the keys file; None = there is none.
        tokens: of the key set; None = there is none.
    """

    def __init__(
        self,
        settings: AuthSettings,
        tenant: str,
        limiter: Limiter,
        pseudonyms: bytes,
        keys: KeyRing | None,
        tokens: TokenReader | None,
    ) -> None:
        self._settings, self._tenant, self._limiter = settings, tenant, limiter
        self._pseudonyms, self._keys, self._tokens = pseudonyms, keys, tokens

    async def admit(self, authorization: str | None, scope: Scope | None) -> Caller:
        """Let a request in.

        Args:
            authorization: header of that name; None = there was none.
            scope: that the route asks for; None = nobody may.

        Raises:
            AccessError: if it is not let in.
        """
        caller = self._caller(authorization)
        if caller is None:
            raise AccessError(401, MISSING if not authorization else "The key is not valid")
        if caller.tenant != self._tenant or scope not in caller.scopes:
            raise AccessError(403, f"The key lacks the scope {scope or 'of this route'} here")
        rate = caller.requests_per_s or self._settings.requests_per_s
        if rate is not None:
            wait_s = await self._limiter.wait_s(caller.name, rate)
            if wait_s > 0.0:
                raise AccessError(429, f"More than {rate:g} requests a second", wait_s)
        return caller

    def tell(self, caller: Caller | None, scope: Scope | None, deed: Deed) -> None:
        """Note what is to be remembered: changes that matter, and who was not let in."""
        is_refused = deed.status in {401, 403}
        reads = deed.action.startswith("GET ") and scope != "privacy"
        if not is_refused and (reads or scope not in AUDITED):
            return
        user = None if deed.user_id is None else self.pseudonym(deed.user_id)
        fields: Mapping[str, Any] = {
            "caller": None if caller is None else caller.name,
            "action": deed.action,
            "status": deed.status,
            "request_id": deed.request_id,
            "user": user,
        }
        audit.info("refused" if is_refused else "done", extra=dict(fields))

    def pseudonym(self, user_id: str) -> str:
        """HMAC-SHA-256 of a user id, 16 hexadecimal digits."""
        content = f"{self._tenant}\0{user_id}".encode("utf-8", "surrogatepass")
        return hmac.new(self._pseudonyms, content, hashlib.sha256).hexdigest()[:16]

    async def follow(self) -> None:
        """Read keys anew for ever; while that fails, those known before go on counting."""
        while True:
            await asyncio.sleep(self._settings.reload_s)
            for source in (self._keys, self._tokens):
                try:
                    if source is not None:
                        await asyncio.to_thread(source.refresh)
                except ConfigError as error:
                    log.error("keys are as they were before: %s", error)

    def _caller(self, authorization: str | None) -> Caller | None:
        if not authorization or len(authorization) > MAX_HEADER_CHARS:
            return None
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        shown = shown.strip()
        if self._keys is not None and shown.startswith("hl_"):
            return self._keys.caller(shown)
        return None if self._tokens is None else self._tokens.caller(shown)


def new_guard(
    settings: AuthSettings,
    tenant: str,
    limiter: Limiter,
    pseudonyms: bytes,
    now: Callable[[], float],
) -> Guard | None:
    """The guard that settings ask for; None = everybody may.

    Args:
        settings: which files.
        tenant: of the application.
        limiter: see ``Guard``.
        pseudonyms: see ``Guard``.
        now: Unix seconds.

    Raises:
        ConfigError: if a file cannot be read.
    """
    if not settings.is_on:
        return None
    keys = None if settings.keys_file is None else KeyRing(Path(settings.keys_file), now)
    jwks = settings.jwks_file
    tokens = None if jwks is None else TokenReader(Path(jwks), settings)
    return Guard(settings, tenant, limiter, pseudonyms, keys, tokens)
