"""The learned interest encoder as a network: item tower, event value, bank of half-lives, readout.

    x_i   = P e_i + p + warm_i r_i                            an item: its text, and what is its own
    z     = x + kind + value + words                          an event; y = z + MLP(z)
    v     = y / sqrt(1 + |y|^2);  a_h = a_max sigmoid(A z)_h
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

from recsys.interest.mixture import LEAST_LEFT
from recsys.settings import Settings
from recsys.training.batches import Batch
from recsys.training.candidate_loss import Scored, candidate_loss
from recsys.training.half import halved
from recsys.training.kernel_bank import Mixture, as_banks_of_one, kernel_bank
from recsys.training.plain_loss import plain_loss
from recsys.training.readout import Asked, Readout
from recsys.training.scan import decayed_scan
from recsys.training.surroundings import Surroundings
from recsys.training.text_tower import TextTower

N_VALUE_FEATURES = 2
_RESIDUAL_SCALE = 0.03
_FIRST_STRENGTH = 0.5


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
        self.text: nn.Linear | None = None  # what the users' own words are; see ``_reader``
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


class Balance(NamedTuple):
    """How loud the parts of a score are beside one another."""

    personal: float = 1.0
    """Factor of the queries, and of the strength of transitions."""
    current: float = 0.0
    """Added to the weight of the trend of the shortest half-life."""


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
        if form.readout == "linear":
            self._make_linear()
        used = surroundings.transitions is not None
        self.strength = nn.Parameter(torch.tensor([_FIRST_STRENGTH * used]), requires_grad=used)
        if surroundings.words is not None:  # last, so that it moves no draw of the others
            self.event.text = _reader(self.item, surroundings.words.shape[1])
        self.use_trend = form.use_trend

    def _make_linear(self) -> None:
        """Take the hidden layers of event value and query out: they stay at zero."""
        value = self.event.mlp[2]
        assert isinstance(value, nn.Linear)
        for part in (value, self.readout.norm_out):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)
                parameter.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss of the questions of a batch, and their number."""
        base, own = self.tower(batch)
        asked = self.ask(batch, base, own)
        at = batch.candidate_at
        strength = self.strength.clone()  # the loss lends its memory to numpy; sharding needs it
        scored = Scored(base[at] + own[at], base[at], *self.weighed(asked), strength)
        is_compiled = batch.placed is None
        loss = candidate_loss(scored, batch) if is_compiled else plain_loss(scored, batch.placed)
        return loss, torch.tensor(len(batch.last))

    @torch.no_grad()
    def rebalance(self, balance: Balance) -> None:
        """Weigh the parts of every score anew."""
        out, trend = self.readout.norm_out, self.readout.trend[2]
        assert isinstance(trend, nn.Linear)
        for part in (out.weight, out.bias, self.readout.plain, self.strength):
            part.mul_(balance.personal)
        for first in (0, self.readout.n_trend):  # of warm items and of cold ones
            trend.bias[first] += balance.current

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
        about = known + warm
        if self.event.text is not None and batch.words is not None:
            said = torch.cat([self.event.text(batch.words), nothing])
            about = about + said[batch.words_at]
        value, importance = self.event(about, batch.kind, batch.given, batch.sign)
        if self.mixture is not None:
            importance = self.mixture.importance(importance)
        life = self.log_half_life_s.clamp(math.log(1.0), math.log(3.2e9))
        events = (importance, value, batch.elapsed_s, batch.start)
        sums, mass = decayed_scan(*events, life, compiled=batch.placed is None)
        last, some = batch.last.clamp(min=0), (batch.last >= 0)[:, None]
        sums, mass = sums[last] * some[..., None], mass[last] * some
        octaves = batch.gap_s[:, None] * torch.exp(-life)
        if self.mixture is not None:
            sums, mass, left = self.mixture.as_one(sums, mass, torch.exp2(-octaves))
            octaves = -torch.log2(left.clamp(min=LEAST_LEFT))
        asked: Asked = self.readout(sums, mass, octaves, batch.gap_s)
        return asked

    def weighed(self, asked: Asked) -> Asked:
        """The same without trend where the model has none."""
        if self.use_trend:
            return asked
        zero = torch.zeros_like(asked.warm_trend)
        return asked._replace(warm_trend=zero, cold_trend=zero, fresh=zero)


def _reader(item: ItemTower, n_text: int) -> nn.Linear:
    """Text vectors of events to what they add to a value; at first they are read as items are."""
    reader = nn.Linear(n_text, item.n_dims)
    if item.project is not None:
        reader.load_state_dict(item.project.state_dict())
    else:
        nn.init.zeros_(reader.weight)
        nn.init.zeros_(reader.bias)
    return reader
