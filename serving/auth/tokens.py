"""JSON Web Tokens (RFC 7519), signed with one of the keys of a file (RFC 7517).

Algorithms are fixed to signatures with a public key, so that neither ``none`` nor a token that is
"signed" with the public key as a shared secret is taken. A key counts for its own algorithm only.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from recsys.auth_options import AuthSettings
from recsys.errors import ConfigError
from recsys.schema import DEFAULT_TENANT
from serving.auth.callers import SCOPES, Caller

log = logging.getLogger(__name__)

ALGORITHMS = ("EdDSA", "ES256", "ES384", "RS256", "RS384", "PS256")
REQUIRED = ["aud", "exp", "iss", "sub"]
MAX_CHARS = 8_192


class TokenReader:
    """Reads tokens.

    Args:
        path: of the key set.
        settings: whose tokens, for whom.

    Raises:
        ConfigError: if the file cannot be read, or is no key set.
    """

    def __init__(self, path: Path, settings: AuthSettings) -> None:
        self._path, self._settings = path, settings
        self._content: bytes | None = None
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self.refresh()

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; None = it is not sound."""
        if len(token) > MAX_CHARS:
            return None
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[str(key.algorithm_name)],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": REQUIRED},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return _caller(claims)

    def refresh(self) -> None:
        """Take what the file holds by now.

        Raises:
            ConfigError: if it cannot be read; the keys known before go on counting.
        """
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(str(self._path), f"cannot be read ({error.strerror})") from error
        if content == self._content:
            return
        try:
            keys = jwt.PyJWKSet.from_json(content.decode()).keys
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"is no JSON Web Key Set ({error})"
            raise ConfigError(str(self._path), problem, "Fetch it from the issuer") from error
        sound = {key.key_id: key for key in keys if key.algorithm_name in ALGORITHMS}
        if len(sound) == 0:
            remedy = f"One of these algorithms is needed: {', '.join(ALGORITHMS)}"
            raise ConfigError(str(self._path), "holds no public key for signatures", remedy)
        self._keys, self._content = sound, content
        log.info("token keys", extra={"n_keys": len(sound)})


def _caller(claims: Mapping[str, Any]) -> Caller | None:
    """Named after the subject's digest: a subject may be a person's id, and names stand in logs."""
    said, tenant = claims.get("scope", ""), claims.get("tenant", DEFAULT_TENANT)
    if not isinstance(said, str) or not isinstance(tenant, str):
        return None
    digest = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()[:16]
    return Caller(f"token:{digest}", tenant, frozenset(said.split()) & frozenset(SCOPES))
