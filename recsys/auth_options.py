"""Settings of who may ask the service what."""

from __future__ import annotations

from typing import Self

from pydantic import NonNegativeFloat, PositiveFloat, model_validator

from recsys.section import Section


class AuthSettings(Section):
    """Who may ask. With neither file everybody may, and the service stays on the loopback."""

    keys_file: str | None = None
    """File of API keys, which ``python -m serving.keys`` writes; it must be on every node."""
    jwks_file: str | None = None
    """File of public keys (JSON Web Key Set) that tokens are signed with."""
    issuer: str | None = None
    """The ``iss`` that tokens must have."""
    audience: str | None = None
    """The ``aud`` that tokens must have."""
    reload_s: PositiveFloat = 1.0
    """Seconds between two looks whether the files changed."""
    requests_per_s: PositiveFloat | None = None
    """Requests a second of a key that names no rate itself, over all replicas; None = no limit."""
    burst_s: PositiveFloat = 2.0
    """Seconds of its rate that a caller who was idle may spend at once."""
    leeway_s: NonNegativeFloat = 30.0
    """Seconds that the clock of whoever issues tokens may be off."""

    @property
    def is_on(self) -> bool:
        """Whether callers must show a key or a token."""
        return self.keys_file is not None or self.jwks_file is not None

    @model_validator(mode="after")
    def _tokens_are_for_us(self) -> Self:
        if self.jwks_file is not None and (self.issuer is None or self.audience is None):
            raise ValueError("jwks_file needs issuer and audience: whose tokens, and for whom")
        return self
