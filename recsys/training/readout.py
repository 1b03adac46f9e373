"""The readout: states of users at a moment become queries, and weights of trends and births."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.interest.learned import GAP_SCALE, HOUR_S
from recsys.interest.zero_shot import MASS_EPS
from recsys.settings import Settings
from recsys.training.half import halved

_FIRST_TREND = 0.2


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
    fresh: Tensor
    """(P, Ht) weights of what is left of an item's birth."""


class Readout(nn.Module):
    """States at a moment to queries and trend weights."""

    is_half = False

    def __init__(self, settings: Settings, n_dims: int) -> None:
        super().__init__()
        form, width = settings.model, settings.model.n_hidden
        n_lives = form.n_half_lives + form.n_negative_half_lives
        n_trend, n_felt = len(settings.trend.half_lives_s), 3 * n_lives + 1
        self.shape = (form.n_queries, n_dims)
        first = math.log(settings.interest.confidence_mass) if form.fades else -math.inf
        self.log_m_0 = nn.Parameter(torch.full((n_lives,), first), requires_grad=form.fades)
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
        self.fresh = nn.Linear(n_felt, n_trend)
        self.plain = nn.Parameter(torch.zeros(form.n_queries, form.n_half_lives))
        nn.init.zeros_(self.skip.weight)
        nn.init.zeros_(self.skip.bias)
        nn.init.zeros_(self.fresh.weight)
        nn.init.zeros_(self.fresh.bias)
        last = self.trend[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias[: 2 * n_trend] = _FIRST_TREND
            last.bias[2 * n_trend :] = 0.0

    def forward(self, sums: Tensor, mass: Tensor, octaves: Tensor, gap_s: Tensor) -> Asked:
        """Read P states.

        Args:
            sums: (P, H + Hn, D) as of the last event.
            mass: (P, H + Hn) as of the last event.
            octaves: (P, H + Hn) half-lives since the last event.
            gap_s: (P,) seconds since the last event.
        """
        now = mass * torch.exp2(-octaves)
        log_now = torch.log(mass.clamp(min=MASS_EPS)) - math.log(2.0) * octaves
        sure = torch.sigmoid(log_now - self.log_m_0) * (mass > 0)  # now / (now + m_0)
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
            fresh=self.fresh(felt),
        )
