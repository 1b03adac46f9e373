"""The learned interest encoder as it serves: NumPy only, the same numbers as the trained network.

    z = x_item + kind + W given + (W_t text + b_t)?;  y = z + MLP(z)
    v = y / sqrt(1 + |y|^2);      a_h = a_max sigmoid(A z)_h
    c_h  = m_h(t) / (m_h(t) + m_0h)
    q, w = readout(c_h S_h / m_h, log(1 + m_h(t)), log(1 + m_h), gap)

The words' part is there where an event says something and the model learned to read; an event
without item has no x_item. Names of the tensors are those of ``recsys.training.network``, with the
half-lives in rising order.
With the tensor ``mixture.weights`` the half-lives are fixed, and follow one law of forgetting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import DataError
from recsys.events import NO_TEXT
from recsys.interest.layers import gelu, linear, norm, sigmoid, softmax
from recsys.interest.mixture import LEAST_LEFT, Mixture
from recsys.interest.model import (
    Banks,
    EventEvidence,
    FoldBatch,
    ItemTable,
    Query,
    TextTable,
)
from recsys.interest.zero_shot import MASS_EPS, codes_of, gaps, signed_importance
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

HOUR_S = 3_600.0
GAP_SCALE = 0.1
VALUE_LIMIT = 4.0


def value_features(value: npt.NDArray[Any], mean: float, scale: float) -> Floats:
    """(T, 2) features of values (T,): standardised and clipped, and whether there is one."""
    missing = ~np.isfinite(value)
    level = np.clip((np.where(missing, mean, value) - mean) / scale, -VALUE_LIMIT, VALUE_LIMIT)
    return np.stack([level, ~missing], axis=1).astype(np.float32)


class LearnedInterest:
    """An ``InterestModel`` from trained tensors.

    Args:
        tensors: as ``recsys.training.export`` names them.
        interest: the learned half-lives, ``max_importance``, ``confidence_mass`` and the rules by
            which events are positive or negative.
        kinds: every event kind, in the order of training.

    Raises:
        DataError: if a tensor is missing or does not fit the half-lives.
    """

    def __init__(
        self,
        tensors: Mapping[str, npt.NDArray[Any]],
        interest: InterestSettings,
        kinds: Sequence[str],
    ) -> None:
        self._tensors = {
            name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()
        }
        self._exact = {  # trend is the loudest part of a score, and its rounding would be heard
            name: np.asarray(tensor, np.float64)
            for name, tensor in self._tensors.items()
            if name in _EXACT
        }
        self._interest = interest
        self._kinds = {kind: code for code, kind in enumerate(kinds)}
        self._n_good = len(interest.half_lives_s)
        self._half_lives_s = (*interest.half_lives_s, *interest.negative_half_lives_s)
        weights = self._tensors.get(_MIXTURE)
        self._mixture = None if weights is None else Mixture(weights)
        self._n_read = self._n_good if weights is None else 1
        self._check()

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, npt.NDArray[Any]],
        interest: InterestSettings,
        kinds: Sequence[str],
    ) -> LearnedInterest:
        """The inverse of ``to_tensors``; see the class."""
        return cls(tensors, interest, kinds)

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Everything learned, for a safetensors file."""
        return dict(self._tensors)

    @property
    def n_dims(self) -> int:
        """D."""
        return len(self._tensors["readout.norm_mean.weight"])

    @property
    def n_half_lives(self) -> int:
        """H + Hn."""
        return len(self._half_lives_s)

    @property
    def n_queries(self) -> int:
        """Q."""
        return len(self._tensors["readout.mix.3.bias"]) // self.n_dims

    @property
    def n_trend(self) -> int:
        """Ht."""
        return (len(self._tensors["readout.trend.2.bias"]) - 2) // 2

    @property
    def reads_text(self) -> bool:
        """See ``InterestModel.reads_text``: whether a log with words was learned from."""
        return _TEXT in self._tensors

    def text_table(self, vectors: Floats) -> TextTable:
        """See ``InterestModel.text_table``."""
        if not self.reads_text:
            raise ValueError("this model reads no text")
        if len(vectors) == 0:  # of no width either, where nothing was ever encoded
            return TextTable(np.zeros((0, self.n_dims), np.float32))
        return TextTable(linear(np.asarray(vectors, np.float32), self._tensors, "event.text"))

    def evidence(
        self, events: FoldBatch, items: ItemTable, texts: TextTable | None = None
    ) -> EventEvidence:
        """See ``InterestModel.evidence``."""
        signed = signed_importance(events.kind, events.value, self._interest)
        is_evidence = events.item >= 0
        words = events.words(texts)
        if words is not None:
            is_evidence = (words >= 0) | is_evidence & (words == NO_TEXT)
        index = np.where(is_evidence & (signed != 0.0), np.arange(len(signed)), -1)
        used = np.flatnonzero(index >= 0)
        values = np.zeros((len(signed), self.n_dims), np.float32)
        importance = np.zeros((len(signed), len(self._half_lives_s)), np.float32)
        if len(used):
            code = codes_of(events.kind[used], self._kinds, len(self._kinds))
            about = _about(events.item[used], items)
            if words is not None and texts is not None:
                said = words[used] >= 0
                about[said] += texts.vectors[words[used][said]]
            plain = self._plain(about, code, events.value[used])
            values[used], weight = self._value(plain)
            is_bad = signed[used] < 0.0
            weight[:, : self._n_good] *= ~is_bad[:, None]
            weight[:, self._n_good :] *= is_bad[:, None]
            importance[used] = weight
        return EventEvidence(importance, index.astype(np.int64), values, signed)

    def importance_of(self, kind: npt.NDArray[np.object_], value: Times, vector: Floats) -> Floats:
        """(T, H + Hn) importance of events (T,) of items (T, D), both banks, whatever the sign."""
        code = codes_of(kind, self._kinds, len(self._kinds))
        return self._value(self._plain(vector, code, value))[1]

    def query(self, banks: Banks, as_of: Times | float) -> Query:
        """See ``InterestModel.query``."""
        tensors, exact = self._tensors, self._exact
        mean, felt = self._read(banks, as_of)
        trend = linear(gelu(linear(felt, exact, "readout.trend.0")), exact, "readout.trend.2")
        fresh = linear(felt, exact, "readout.fresh")
        share = softmax(linear(felt, exact, "readout.skip"))
        felt, share = np.asarray(felt, np.float32), np.asarray(share, np.float32)
        n_good, sure = self._n_read, felt[:, : mean.shape[1]]
        loud = (share * sure[:, :n_good]).sum(axis=1)[:, None, None]
        taste = mean[:, :n_good] * sure[:, :n_good, None]
        as_it_is = np.einsum("qh,bhd->bqd", tensors["readout.plain"], taste)
        mean = norm(mean, tensors, "readout.norm_mean") * sure[..., None]
        said = np.concatenate([mean.reshape(len(mean), -1), felt], axis=1)
        mixed = linear(gelu(linear(said, tensors, "readout.mix.0")), tensors, "readout.mix.3")
        straight = np.einsum("bh,bhd->bd", share, mean[:, :n_good])
        vectors = mixed.reshape(len(mean), self.n_queries, self.n_dims) + straight[:, None]
        vectors = norm(vectors, tensors, "readout.norm_out") * loud + as_it_is
        n = self.n_trend
        offsets = trend[:, 2 * n], trend[:, 2 * n + 1]
        found = (vectors, trend[:, :n], trend[:, n : 2 * n], *offsets, fresh)
        return Query(*(np.ascontiguousarray(part, np.float32) for part in found))

    def _read(self, banks: Banks, as_of: Times | float) -> tuple[Floats, npt.NDArray[Any]]:
        """The means of the half-lives, and in float64 what else is felt: surety first."""
        gap_s = gaps(banks.t_ref, as_of)
        held = np.concatenate([banks.mass, banks.negative_mass], axis=1)
        sums = np.concatenate([banks.sums, banks.negative_sums], axis=1)
        octaves = gap_s[:, None] / np.array(self._half_lives_s)
        if self._mixture is not None:
            passed = np.exp2(-octaves).astype(np.float32)
            sums, held, left = self._mixture.as_one(sums, held, passed)
            octaves = -np.log2(np.maximum(left, LEAST_LEFT))
        mean = np.asarray(sums / (held + np.float32(MASS_EPS))[..., None], np.float32)
        mass = np.asarray(held, np.float64)
        log_now = np.log(np.maximum(mass, MASS_EPS)) - np.log(2.0) * octaves
        sure = sigmoid(log_now - self._exact["readout.log_m_0"]) * (mass > 0)  # now / (now + m_0)
        gap = (np.log1p(gap_s / HOUR_S) * GAP_SCALE)[:, None]
        now = mass * np.exp2(-octaves)
        return mean, np.concatenate([sure, np.log1p(now), np.log1p(mass), gap], axis=1)

    def _plain(self, item: Floats, code: npt.NDArray[np.int64], value: npt.NDArray[Any]) -> Floats:
        tensors = self._tensors
        given = value_features(value, *map(float, tensors["value"]))
        plain: Floats = (
            item + tensors["event.kind.weight"][code] + given @ tensors["event.given.weight"].T
        )
        return plain

    def _value(self, plain: Floats) -> tuple[Floats, Floats]:
        tensors = self._tensors
        hidden = gelu(linear(plain, tensors, "event.mlp.0"))
        y = plain + linear(hidden, tensors, "event.mlp.2")
        value = y / np.sqrt(1.0 + np.square(y).sum(axis=1, keepdims=True))
        logit = linear(plain, tensors, "event.importance")
        a_max = np.float32(self._interest.max_importance)
        importance = a_max / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
        weight = importance.astype(np.float32)
        if self._mixture is not None:
            weight = self._mixture.importance(weight)
        return value.astype(np.float32), weight

    def _check(self) -> None:
        missing = [name for name in _NAMES if name not in self._tensors]
        if missing:
            raise DataError("learned model", f"lacks {', '.join(missing)}", "Publish it again")
        found = len(self._tensors["event.importance.bias"])
        if self._mixture is not None:  # one importance for each of both banks
            found = len(self._mixture.weights) * found
        if found != len(self._half_lives_s):
            raise DataError(
                "learned model",
                f"has {found} half-lives, its settings {len(self._half_lives_s)}",
                "Half-lives are fixed by the bundle: do not set interest.half_lives_s",
            )


_TEXT = "event.text.weight"
_MIXTURE = "mixture.weights"
_EXACT = (
    "readout.log_m_0",
    *(
        f"readout.{layer}.{part}"
        for layer in ("skip", "trend.0", "trend.2", "fresh")
        for part in ("weight", "bias")
    ),
)
_NAMES = (
    "value",
    "readout.plain",
    "readout.log_m_0",
    "event.kind.weight",
    "event.given.weight",
    *(
        f"event.{layer}.{part}"
        for layer in ("mlp.0", "mlp.2", "importance")
        for part in ("weight", "bias")
    ),
    *(
        f"readout.{layer}.{part}"
        for layer in (
            "norm_mean", "norm_out", "mix.0", "mix.3", "skip", "trend.0", "trend.2", "fresh",
        )
        for part in ("weight", "bias")
    ),
)  # fmt: skip


def _about(item: npt.NDArray[np.integer[Any]], items: ItemTable) -> Floats:
    """(T, D) copies of item vectors; zeros where an event has no item."""
    found = np.zeros((len(item), items.n_dims), np.float32)
    known = np.flatnonzero(item >= 0)
    found[known] = items.vectors[item[known]]
    return found
