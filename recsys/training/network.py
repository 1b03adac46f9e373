"""The learned interest encoder as a network: item tower, event value, bank of half-lives, readout.

    x_i   = P e_i + p + warm_i r_i                            an item: its text, and what is its own
    z     = x + kind + value;  y = z + MLP(z);  v = y / sqrt(1 + |y|^2);  a_h = a_max sigmoid(A z)_h
    S, m  = the additive decayed state of (a, v)              training.scan, decay.fold
    q, w  = readout(c_h S_h / m_h, log m_h now and then)      queries, and weights of the trends
    s_i   = max_q q.x_i + w.T_i                               w and an offset apart for cold items

The norms of ``v`` and ``a`` are bounded by construction, so one event moves a state by at most
``a_max sqrt(2 H)``. All that mixes events stands in the readout. Where ``model.kernel`` is no
exponential, the half-lives are fixed, and weighed by a law of forgetting (``kernel_bank``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recsys.interest.learned import GAP_SCALE, HOUR_S
from recsys.interest.zero_shot import MASS_EPS
from recsys.settings import Settings
from recsys.training.batches import Batch
from recsys.training.candidate_loss import Scored, candidate_loss
from recsys.training.half import halved
from recsys.training.kernel_bank import Mixture, as_banks_of_one, kernel_bank
from recsys.training.plain_loss import plain_loss
from recsys.training.scan import decayed_scan
from recsys.training.surroundings import Surroundings
from recsys.training.text_tower import TextTower

N_VALUE_FEATURES = 2
_RESIDUAL_SCALE = 0.03
_FIRST_TREND = 0.2
_FIRST_STRENGTH = 0.5


class Asked(NamedTuple):
    """What P questions ask of the items."""

    query: Tensor
    """(P, Q, D)."""
    warm_trend: Tensor
    """(P, Ht)."""
    cold_trend: Tensor
    """(P, Ht)."""
    cold_offset: Tensor
    """(P,)."""
    new_offset: Tensor
    """(P,) instead of trend and offset, where a cold item has no trend at all."""


class ItemTower(nn.Module):
    """Item vectors from text vectors (N, E) and residuals (N, D)."""

    is_half = False

    def __init__(self, n_items: int, n_text: int, n_dims: int, use_id: bool) -> None:
        super().__init__()
        self.project = nn.Linear(n_text, n_dims) if n_text else None
        self.residual = nn.Embedding(n_items, n_dims) if use_id else None
        self.n_dims = n_dims
        if self.residual is not None:
            nn.init.normal_(self.residual.weight, 0.0, _RESIDUAL_SCALE)

    def base(self, text: Tensor | None, rows: Tensor) -> Tensor:
        """(R, D) what the texts (R, E) say; 0 for an item without text."""
        if self.project is None or text is None:
            return torch.zeros(len(rows), self.n_dims, device=rows.device)
        said = (text != 0.0).any(1, keepdim=True)
        return halved(self.project, text, self.is_half and self.training) * said

    def own(self, rows: Tensor) -> Tensor:
        """(R, D) what text does not say."""
        if self.residual is None:
            return torch.zeros(len(rows), self.n_dims, device=rows.device)
        residual: Tensor = self.residual(rows)
        return residual


class EventValue(nn.Module):
    """Events to values (T, D) in the unit ball and importances (T, H + Hn)."""

    is_half = False

    def __init__(self, settings: Settings, n_dims: int) -> None:
        super().__init__()
        form, width = settings.model, settings.model.n_hidden
        n_lives = form.n_half_lives + form.n_negative_half_lives
        self.a_max = settings.interest.max_importance
        self.n_positive = form.n_half_lives
        self.kind = nn.Embedding(len(settings.data.kinds) + 1, n_dims)
        self.given = nn.Linear(N_VALUE_FEATURES, n_dims, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(n_dims, width), nn.GELU(approximate="tanh"), nn.Linear(width, n_dims)
        )
        self.importance = nn.Linear(n_dims, n_lives)
        self.drop = nn.Dropout(settings.train.dropout)
        nn.init.zeros_(self.kind.weight)
        nn.init.zeros_(self.given.weight)
        nn.init.constant_(self.importance.bias, -math.log(max(self.a_max - 1.0, 1e-3)))  # a = 1

    def forward(
        self, item: Tensor, kind: Tensor, given: Tensor, sign: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Item vectors (T, D), kinds (T,), value features (T, 2), signs (T,)."""
        plain = item + self.kind(kind) + self.given(given)
        z = self.drop(plain)
        y = z + halved(self.mlp, z, self.is_half and self.training)
        value = y * torch.rsqrt(1.0 + y.square().sum(1, keepdim=True))
        importance = self.a_max * torch.sigmoid(self.importance(plain))
        wanted = torch.ones(importance.shape[1], device=item.device)
        wanted[self.n_positive :] = -1.0
        return value, importance * (sign[:, None] == wanted)


class Readout(nn.Module):
    """States at a moment to queries and trend weights."""

    is_half = False

    def __init__(self, settings: Settings, n_dims: int) -> None:
        super().__init__()
        form, width = settings.model, settings.model.n_hidden
        n_lives = form.n_half_lives + form.n_negative_half_lives
        n_trend, n_felt = len(settings.trend.half_lives_s), 3 * n_lives + 1
        self.shape = (form.n_queries, n_dims)
        first = math.log(settings.interest.confidence_mass)
        self.log_m_0 = nn.Parameter(torch.full((n_lives,), first))
        self.n_trend = n_trend
        self.norm_mean, self.norm_out = nn.LayerNorm(n_dims), nn.LayerNorm(n_dims)
        self.mix = nn.Sequential(
            nn.Linear(n_lives * n_dims + n_felt, width),
            nn.GELU(approximate="tanh"),
            nn.Dropout(settings.train.dropout),
            nn.Linear(width, form.n_queries * n_dims),
        )
        self.skip = nn.Linear(n_felt, form.n_half_lives)
        self.trend = nn.Sequential(
            nn.Linear(n_felt, 32), nn.GELU(approximate="tanh"), nn.Linear(32, 2 * n_trend + 2)
        )
        self.plain = nn.Parameter(torch.zeros(form.n_queries, form.n_half_lives))
        nn.init.zeros_(self.skip.weight)
        nn.init.zeros_(self.skip.bias)
        last = self.trend[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias[: 2 * n_trend] = _FIRST_TREND
            last.bias[2 * n_trend :] = 0.0

    def forward(self, sums: Tensor, mass: Tensor, passed: Tensor, gap_s: Tensor) -> Asked:
        """Read P states.

        Args:
            sums: (P, H + Hn, D) as of the last event.
            mass: (P, H + Hn) as of the last event.
            passed: (P, H + Hn) share of mass that is left now.
            gap_s: (P,) seconds since the last event.
        """
        now = mass * passed
        sure = now / (now + torch.exp(self.log_m_0))
        taste = sums / (mass + MASS_EPS)[..., None] * sure[..., None]
        mean = self.norm_mean(sums / (mass + MASS_EPS)[..., None]) * sure[..., None]
        gap = torch.log1p(gap_s / HOUR_S)[:, None] * GAP_SCALE
        felt = torch.cat([sure, torch.log1p(now), torch.log1p(mass), gap], 1)
        said = torch.cat([mean.flatten(1), felt], 1)
        out = halved(self.mix, said, self.is_half and self.training).reshape(-1, *self.shape)
        share = torch.softmax(self.skip(felt), 1)
        n_good = share.shape[1]
        straight = (mean[:, :n_good] * share[..., None]).sum(1)
        as_it_is = torch.einsum("qh,phd->pqd", self.plain, taste[:, :n_good])
        loud = (share * sure[:, :n_good]).sum(1)[:, None, None]
        trend = self.trend(felt)
        n = self.n_trend
        return Asked(
            query=self.norm_out(out + straight[:, None]) * loud + as_it_is,
            warm_trend=trend[:, :n],
            cold_trend=trend[:, n : 2 * n],
            cold_offset=trend[:, 2 * n],
            new_offset=trend[:, 2 * n + 1],
        )


class InterestNetwork(nn.Module):
    """The whole model; ``forward`` gives the loss of a batch.

    Args:
        surroundings: of the log.
        settings: sections model, train, data, interest, trend, and ``encoder.n_dims``.
        language: the language model where it is trained too; None = text vectors stay as they are.
    """

    def __init__(
        self, surroundings: Surroundings, settings: Settings, language: TextTower | None = None
    ) -> None:
        super().__init__()
        self.language = language
        form, n_dims = settings.model, settings.encoder.n_dims
        text = surroundings.text if form.use_text else None
        n_text = 0 if text is None else text.shape[1]
        self.item = ItemTower(surroundings.n_items, n_text, n_dims, form.use_id)
        bank = kernel_bank(surroundings, form)
        self.mixture = None if bank is None else Mixture(bank)
        lives = [*surroundings.half_lives_s, *surroundings.negative_half_lives_s]
        self.n_positive = form.n_half_lives
        if bank is not None:  # both banks forget by the law, and are read as one half-life each
            lives, self.n_positive = [*bank.half_lives_s, *bank.half_lives_s], len(bank.weights)
            settings = as_banks_of_one(settings)
        self.event = EventValue(settings, n_dims)
        self.readout = Readout(settings, n_dims)
        log_lives, learned = np.log(lives), form.learn_half_lives and bank is None
        self.log_half_life_s = nn.Parameter(torch.tensor(log_lives, dtype=torch.float32), learned)
        used = surroundings.transitions is not None
        self.strength = nn.Parameter(torch.tensor([_FIRST_STRENGTH * used]), requires_grad=used)
        self.id_dropout = settings.train.id_dropout
        self.use_trend = form.use_trend

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss of the questions of a batch, and their number."""
        base, own = self.tower(batch)
        if self.training and self.id_dropout > 0.0:
            own = own * (torch.rand(len(own), 1, device=own.device) >= self.id_dropout)
        asked = self.ask(batch, base, own)
        at = batch.candidate_at
        strength = self.strength.clone()  # the loss lends its memory to numpy; sharding needs it
        scored = Scored(base[at] + own[at], base[at], *self.weighed(asked), strength)
        is_compiled = batch.placed is None
        loss = candidate_loss(scored, batch) if is_compiled else plain_loss(scored, batch.placed)
        return loss, torch.tensor(len(batch.last))

    def use_half(self) -> None:
        """From now on training does the wide matrix products in bfloat16."""
        self.item.is_half = self.event.is_half = self.readout.is_half = True

    def tower(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(R, D) bases and (R, D) residuals of the rows of a batch."""
        return self.item.base(self._text(batch), batch.rows), self.item.own(batch.rows)

    def _text(self, batch: Batch) -> Tensor | None:
        """(R, E) text vectors, those of some rows with gradients where the encoder is trained."""
        if self.language is None or batch.text is None:
            return batch.text
        kept = self.language.cached(batch.rows)
        if not self.training:
            return kept
        touched = [batch.event_at[batch.event_at < len(batch.rows)], batch.target_at]
        chosen = self.language.chosen(batch.rows[torch.cat(touched)], torch.default_generator)
        place = torch.searchsorted(batch.rows, chosen.to(batch.rows.device))
        return kept.index_copy(0, place, self.language(chosen))

    def ask(self, batch: Batch, base: Tensor, own: Tensor) -> Asked:
        """The queries of a batch."""
        nothing = base.new_zeros(1, base.shape[1])
        known = torch.cat([base, nothing])[batch.event_at]
        warm = torch.cat([own, nothing])[batch.event_at] * ~batch.event_cold[:, None]
        value, importance = self.event(known + warm, batch.kind, batch.given, batch.sign)
        if self.mixture is not None:
            importance = self.mixture.importance(importance)
        life = self.log_half_life_s.clamp(math.log(1.0), math.log(3.2e9))
        events = (importance, value, batch.elapsed_s, batch.start)
        sums, mass = decayed_scan(*events, life, compiled=batch.placed is None)
        last, some = batch.last.clamp(min=0), (batch.last >= 0)[:, None]
        passed = torch.exp2(-batch.gap_s[:, None] * torch.exp(-life))
        state = sums[last] * some[..., None], mass[last] * some, passed
        if self.mixture is not None:
            state = self.mixture.as_one(*state)
        asked: Asked = self.readout(*state, batch.gap_s)
        return asked

    def weighed(self, asked: Asked) -> Asked:
        """The same without trend where the model has none."""
        if self.use_trend:
            return asked
        zero = torch.zeros_like(asked.warm_trend)
        return asked._replace(warm_trend=zero, cold_trend=zero)
