"""The interest model that needs no training: importance by event kind, fixed half-lives.

    mean_h = S_h / (mass_h + eps)               what the taste is
    c_h(t) = mass_h(t) / (mass_h(t) + m_0)      how sure we still are
    u(t)   = sum_h b_h c_h(t) mean_h  -  sum_h b-_h c-_h(t) mean-_h

The query ``u`` is not normalised: its length carries the confidence, so the content score ``u.v``
of a user who is away fades, short half-lives first, and trend takes over by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.encoder.projection import AnyProjection, unit_rows
from recsys.events import NO_TEXT
from recsys.interest.model import (
    Banks,
    EventEvidence,
    FoldBatch,
    ItemTable,
    Query,
    TextTable,
)
from recsys.ranking import RankingWeights
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

RATING = "rating"
MASS_EPS = 1e-6
"""``eps`` of the mean: keeps the mean of an empty bank at zero."""


class Parts(NamedTuple):
    """What one bank says about B users at one moment."""

    mean: Floats
    """(B, H, D) the taste; it does not change while a user is away."""
    confidence: Floats
    """(B, H) in [0, 1); it fades while a user is away."""
    mass_now: Floats
    """(B, H) decayed mass."""


@dataclass(frozen=True)
class ZeroShot:
    """An ``InterestModel`` of fixed half-lives and of one weight each, the same for everybody.

    An event is worth its item's vector, times the importance of its kind; the user's own words are
    worth what an item would be that says them, and beside an item they are worth the middle of the
    two. Warm and cold items are scored alike.
    """

    interest: InterestSettings
    """How events become evidence, and how evidence fades."""
    weights: RankingWeights
    """Of the half-lives of the banks and of the trend."""
    projection: AnyProjection | None = None
    """Of texts to items; None = the users' own words are not read."""

    @property
    def reads_text(self) -> bool:
        """See ``InterestModel.reads_text``."""
        return self.projection is not None

    def text_table(self, vectors: Floats) -> TextTable:
        """See ``InterestModel.text_table``; the vectors are those of items with these texts."""
        if self.projection is None:
            raise ValueError("this model reads no text")
        if len(vectors) == 0:  # of no width either, where nothing was ever encoded
            return TextTable(np.zeros((0, self.projection.n_dims), np.float32))
        return TextTable(self.projection.project(vectors))

    def evidence(
        self, events: FoldBatch, items: ItemTable, texts: TextTable | None = None
    ) -> EventEvidence:
        """See ``InterestModel.evidence``; without words the values are the items' own vectors."""
        importance, signed = bank_importance(events.kind, events.value, self.interest)
        index = np.ascontiguousarray(events.item, np.int64)
        words = events.words(texts)
        if words is None or texts is None:
            return EventEvidence(importance, index, items.vectors, signed)
        words = np.where(signed != 0.0, words, np.int32(NO_TEXT))
        values = np.zeros((len(index), items.n_dims), np.float32)
        known, said = index >= 0, words >= 0
        values[known] = items.vectors[index[known]]
        values[said] = unit_rows(values[said] + texts.vectors[words[said]])
        own = np.where(said | known & (words == NO_TEXT), np.arange(len(index)), -1)
        return EventEvidence(importance, own, values, signed)

    def query(self, banks: Banks, as_of: Times | float) -> Query:
        """See ``InterestModel.query``; one vector, and the same trend for all."""
        u = queries(banks, as_of, self.weights, self.interest)
        trend = np.repeat(self.weights.trend[None], len(u), axis=0)
        nothing = np.zeros(len(u), np.float32)
        return Query(u[:, None], trend, trend, nothing, nothing, np.zeros((len(u), 0), np.float32))


def weigh(
    kind: npt.NDArray[np.object_], value: Times, settings: InterestSettings
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """How much evidence each event is, and of which sign.

    A rating is judged by its value: at least ``rating_positive_min`` is positive, at most
    ``rating_negative_max`` negative, and between the two its positive importance rises linearly
    from zero. A rating without a value counts half.

    Args:
        kind: (T,) event kinds; kinds that stand in no table weigh nothing.
        value: (T,) ratings; NaN where there is none.
        settings: importance by kind.

    Returns:
        (T,) float32 importance in [0, max_importance), and (T,) bool, True = negative evidence.
    """
    by_kind = (settings.importance, settings.negative_importance)
    code_of, positive, negative = _tables(*(tuple(weights.items()) for weights in by_kind))
    code = codes_of(kind, code_of, len(code_of))
    is_negative = ((positive == 0.0) & (negative > 0.0))[code]
    importance = np.where(is_negative, negative[code], positive[code])
    rated = np.flatnonzero(code == code_of[RATING])
    if len(rated):
        importance[rated], is_negative[rated] = _rated(value[rated], settings)
    return _bounded(importance, settings), is_negative


def rating_importance(
    value: Times, settings: InterestSettings
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """``weigh`` of ratings (T,)."""
    importance, is_negative = _rated(value, settings)
    return _bounded(importance, settings), is_negative


def _rated(value: Times, settings: InterestSettings) -> tuple[Times, npt.NDArray[np.bool_]]:
    low, high = settings.rating_negative_max, settings.rating_positive_min
    share = np.nan_to_num((value - low) / max(high - low, 1e-9), nan=0.5)
    is_bad = (value <= low) & (value < high)
    good = settings.importance.get(RATING, 0.0) * np.clip(share, 0.0, 1.0)
    return np.where(is_bad, settings.negative_importance.get(RATING, 0.0), good), is_bad


def _bounded(importance: Times, settings: InterestSettings) -> Floats:
    bound = np.nextafter(np.float32(settings.max_importance), np.float32(0.0))
    return np.minimum(importance, bound).astype(np.float32)


def bank_importance(
    kind: npt.NDArray[np.object_], value: Times, interest: InterestSettings
) -> tuple[Floats, Floats]:
    """Importance of events in both banks.

    Returns:
        (T, H + Hn) float32 importance, negative evidence only in the last Hn columns; and (T,)
        float32 signed importance.
    """
    weight, is_negative = weigh(kind, value, interest)
    n_positive = len(interest.half_lives_s)
    importance = np.zeros((len(weight), n_positive + len(interest.negative_half_lives_s)), "f4")
    importance[:, :n_positive] = np.where(is_negative, 0.0, weight)[:, None]
    importance[:, n_positive:] = np.where(is_negative, weight, 0.0)[:, None]
    return importance, np.where(is_negative, -weight, weight)


def signed_importance(
    kind: npt.NDArray[np.object_], value: Times, interest: InterestSettings
) -> Floats:
    """(T,) what the settings say that events are worth, whatever the model; below 0 = negative."""
    weight, is_negative = weigh(kind, value, interest)
    return np.where(is_negative, -weight, weight)


def is_positive(
    kind: npt.NDArray[np.object_],
    value: Times,
    interest: InterestSettings,
) -> npt.NDArray[np.bool_]:
    """Which events are right answers in evaluation, and count for trend.

    Args:
        kind: (T,) event kinds.
        value: (T,) ratings; NaN where there is none.
        interest: ``positive_kinds`` that count, a rating only from ``rating_positive_min``.

    Returns:
        (T,) bool.
    """
    code = codes_of(kind, {name: 1 + (name == RATING) for name in interest.positive_kinds}, 0)
    with np.errstate(invalid="ignore"):
        good = np.asarray(value) >= interest.rating_positive_min
    positive: npt.NDArray[np.bool_] = (code == 1) | ((code == 2) & good)
    return positive


def read_parts(
    sums: Floats,
    mass: Floats,
    gap_s: Times,
    half_lives_s: Iterable[float],
    confidence_mass: float,
) -> Parts:
    """Read one bank.

    Args:
        sums: (B, H, D) decayed sums as of ``t_ref``.
        mass: (B, H) decayed mass as of ``t_ref``.
        gap_s: (B,) seconds since ``t_ref`` (``gaps``); never negative.
        half_lives_s: H half-lives in seconds.
        confidence_mass: ``m_0``, the mass at which confidence is one half.
    """
    mass_now = mass * half_lives_passed(gap_s, half_lives_s)
    return Parts(
        mean=sums / (mass + np.float32(MASS_EPS))[:, :, None],
        confidence=mass_now / (mass_now + np.float32(confidence_mass)),
        mass_now=mass_now,
    )


def gaps(t_ref: Times, as_of: Times | float) -> Times:
    """(B,) seconds from ``t_ref`` to ``as_of``; 0 where that is negative or there is no event."""
    known = np.isfinite(t_ref)
    return np.where(known, np.maximum(as_of - np.where(known, t_ref, 0.0), 0.0), 0.0)


def half_lives_passed(gap_s: Times, half_lives_s: Iterable[float]) -> Floats:
    """(B, H) float32 shares of mass that are left after ``gap_s`` (B,) seconds."""
    ages = np.asarray(gap_s, np.float64)[:, None] / np.fromiter(half_lives_s, np.float64)
    return np.exp2(-ages).astype(np.float32)


def queries(
    banks: Banks, as_of: Times | float, weights: RankingWeights, settings: InterestSettings
) -> Floats:
    """The query vectors of B users.

    Args:
        banks: their evidence.
        as_of: (B,) or one moment, Unix seconds; before ``t_ref`` it counts as ``t_ref``.
        weights: ``interest`` (H,) and ``negative`` (Hn,) weights of the half-lives.
        settings: the half-lives and ``confidence_mass``.

    Returns:
        (B, D) float32, not normalised; the content score of an item is its dot product with it.
        A row depends on that user's evidence alone, to the last bit.
    """
    gap_s = gaps(banks.t_ref, as_of)
    m_0 = settings.confidence_mass
    positive = _shares(banks.mass, gap_s, settings.half_lives_s, m_0)
    negative = _shares(banks.negative_mass, gap_s, settings.negative_half_lives_s, m_0)
    u = np.zeros((len(gap_s), banks.sums.shape[2]), np.float32)
    _accumulate(u, positive * np.asarray(weights.interest, np.float32), banks.sums)
    _accumulate(u, -negative * np.asarray(weights.negative, np.float32), banks.negative_sums)
    return u


def _shares(mass: Floats, gap_s: Times, half_lives_s: Iterable[float], m_0: float) -> Floats:
    """(B, H) factors that turn sums into confidence times mean."""
    mass_now = mass * half_lives_passed(gap_s, half_lives_s)
    shares: Floats = mass_now / (mass_now + np.float32(m_0)) / (mass + np.float32(MASS_EPS))
    return shares


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _accumulate(u: Floats, share: Floats, sums: Floats) -> None:
    """Add to u (B, D) the sum over H of share (B, H) * sums (B, H, D), in one fixed order."""
    for b in range(sums.shape[0]):
        for h in range(sums.shape[1]):
            if share[b, h] != 0.0:
                for d in range(sums.shape[2]):
                    u[b, d] += share[b, h] * sums[b, h, d]


@lru_cache(16)
def _tables(*by_kind: tuple[tuple[str, float], ...]) -> tuple[dict[str, int], Times, Times]:
    """Kind -> code, and by code what kinds weigh in both tables; the last code is of no kind."""
    good, bad = map(dict, by_kind)
    names = sorted({*good, *bad, RATING})
    positive, negative = (np.array([*(t.get(n, 0.0) for n in names), 0.0]) for t in (good, bad))
    return {name: n for n, name in enumerate(names)}, positive, negative


def codes_of(
    kind: Iterable[str | None], code_of_kind: Mapping[str, int], missing: int
) -> npt.NDArray[np.int64]:
    """(T,) codes of kinds; kinds that the mapping lacks get ``missing``."""
    lookup: Mapping[str | None, int] = code_of_kind  # type: ignore[assignment]
    return np.fromiter(map(lookup.get, kind, repeat(missing)), np.int64)
