"""Reasons: which of a user's events put an item into a slate, by how much, and for how long."""

from recsys.reasons.effects import Histories, Scoring
from recsys.reasons.explaining import EXPLAIN, Explain, Reason, explain
from recsys.reasons.history import history_evidence
from recsys.reasons.without import Named, find_event, without_event
from recsys.reasons.wording import duration, reason_text

__all__ = [
    "EXPLAIN",
    "Explain",
    "Histories",
    "Named",
    "Reason",
    "Scoring",
    "duration",
    "explain",
    "find_event",
    "history_evidence",
    "reason_text",
    "without_event",
]
