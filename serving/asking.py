"""Who a slate is for, and as of when."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recsys.coldstart.told import Told
from recsys.errors import EventError
from recsys.settings import Settings
from recsys.shelf import Evidence
from serving.pool.messages import ProfileView


@dataclass(frozen=True)
class Asker:
    """Who a slate is for."""

    evidence: Evidence
    as_of: float
    """Unix seconds."""
    user_id: str | None = None
    """None = an anonymous visitor."""
    view: ProfileView | None = None
    """The user's profile; None = it is away."""
    unknown_items: tuple[str, ...] = ()
    """Items of a session that the catalog lacks."""
    is_known: bool = False
    """Whether anything is known of them."""

    def with_told(self, told: Told) -> Asker:
        """The same with what is known of them beside events."""
        says = told.statement is not None and len(told.statement.heard) > 0
        evidence = replace(self.evidence, told=told)
        return replace(self, evidence=evidence, is_known=self.is_known or says)


def asker_of(view: ProfileView, evidence: Evidence) -> Asker:
    """The user that a profile is of, at the moment that it was read for."""
    return Asker(evidence, view.as_of, view.user_id, view, is_known=view.is_known)


def check_k(settings: Settings, k: int) -> None:
    """Refuse a length that no slate may have.

    Raises:
        EventError: if it is not positive, or above ``serving.max_k``.
    """
    if not 1 <= k <= settings.serving.max_k:
        raise EventError("k", f"is {k}", f"Ask for 1 to {settings.serving.max_k}")


def check_as_of(view: ProfileView, as_of: float, asked: float | str | None) -> None:
    """Check the moment that a profile was asked for at.

    Raises:
        EventError: if it was named, and is before the user's last event.
    """
    if asked is not None and view.t_ref > as_of:
        raise EventError(
            f"as_of {as_of:.6f}",
            f"is before the user's last event at {view.t_ref:.6f}",
            "Ask for a later moment; `python -m pipelines.recommend` replays the past",
        )
