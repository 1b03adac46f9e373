"""From the trained network to what serves: NumPy tensors, item vectors, learned half-lives."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recsys.encoder.projection import AffineProjection
from recsys.interest.learned import LearnedInterest
from recsys.settings import InterestSettings, Settings
from recsys.training.network import InterestNetwork
from recsys.training.surroundings import Surroundings
from recsys.transitions import Transitions

Floats = npt.NDArray[np.float32]

SHORTEST_S, LONGEST_S = 1.0, 3.2e9
"""A half-life that training drives out of these bounds is clamped to them."""


@dataclass(frozen=True)
class Exported:
    """A trained model, ready for a bundle."""

    model: LearnedInterest
    interest: InterestSettings
    """With the learned half-lives, rising."""
    vectors: Floats
    """(N, D) item vectors, with residuals where items are warm."""
    warm: npt.NDArray[np.bool_]
    """(N,)."""
    projection: AffineProjection
    """Text vectors to bases: the vectors of items that come later."""
    transitions: Transitions | None
    """At the strength that was learned; None = not used."""
    clamped: tuple[float, ...]
    """Half-lives that had to be clamped, as they were, seconds."""


def exported(network: InterestNetwork, log: Surroundings, settings: Settings) -> Exported:
    """Take the model out of its network.

    Args:
        network: trained on ``log``.
        log: says which items are warm.
        settings: of the training.
    """
    lives = network.log_half_life_s.detach().double().exp().cpu().numpy()
    n_good = network.n_positive
    order = np.concatenate([np.argsort(lives[:n_good]), n_good + np.argsort(lives[n_good:])])
    bounded = np.clip(lives[order], SHORTEST_S, LONGEST_S)
    interest = settings.interest.model_copy(
        update={
            "half_lives_s": _rising(bounded[:n_good]),
            "negative_half_lives_s": _rising(bounded[n_good:]),
        }
    )
    tensors = _tensors(network)
    if network.mixture is None:
        _sort(tensors, order, n_good, network.item.n_dims)
    tensors["value"] = np.array([log.value_mean, log.value_scale], np.float32)
    vectors, projection = _items(network, log)
    return Exported(
        model=LearnedInterest(tensors, interest, settings.data.kinds),
        interest=interest,
        vectors=vectors,
        warm=log.warm.copy(),
        projection=projection,
        transitions=None
        if log.transitions is None
        else log.transitions.with_strength(float(network.strength.detach())),
        clamped=tuple(
            min(float(x), sys.float_info.max)  # JSON knows no infinity
            for x in lives[(lives < SHORTEST_S) | (lives > LONGEST_S)]
        ),
    )


def _items(network: InterestNetwork, log: Surroundings) -> tuple[Floats, AffineProjection]:
    tower, n_dims = network.item, network.item.n_dims
    n_text = 0 if log.text is None else log.text.shape[1]
    with torch.no_grad():
        device = network.strength.device
        rows = torch.arange(log.n_items, device=device)
        text = None if log.text is None else torch.tensor(log.text, device=device)
        if network.language is not None:
            text = network.language.table()
        own = tower.own(rows) * torch.tensor(log.warm, device=device)[:, None]
        vectors = (tower.base(text, rows) + own).cpu().numpy().astype(np.float32)
    if tower.project is None:
        zeros = np.zeros((n_dims, n_text), np.float32)
        return vectors, AffineProjection(zeros, np.zeros(n_dims, np.float32))
    weight, bias = (
        part.detach().cpu().numpy().copy() for part in (tower.project.weight, tower.project.bias)
    )
    return vectors, AffineProjection(weight, bias)


def _tensors(network: InterestNetwork) -> dict[str, npt.NDArray[Any]]:
    """The tensors of event value and readout, and of the law of forgetting where it is fixed."""
    found = {
        name: value.detach().cpu().numpy().copy()
        for name, value in network.state_dict().items()
        if name.startswith(("event.", "readout.", "mixture."))
    }
    if not network.use_trend:
        for part in ("weight", "bias"):
            found[f"readout.trend.2.{part}"][:-2] = 0.0
            found[f"readout.fresh.{part}"][:] = 0.0
    return found


def _sort(
    found: dict[str, npt.NDArray[Any]], order: npt.NDArray[np.int64], n_good: int, n_dims: int
) -> None:
    """Put the half-lives into a new order, in place."""
    n_lives, good = len(order), order[:n_good]
    felt = np.concatenate([order, n_lives + order, 2 * n_lives + order, [3 * n_lives]])
    means = (order[:, None] * n_dims + np.arange(n_dims)).ravel()
    for part in ("weight", "bias"):
        found[f"event.importance.{part}"] = found[f"event.importance.{part}"][order]
        found[f"readout.skip.{part}"] = found[f"readout.skip.{part}"][good]
    found["readout.log_m_0"] = found["readout.log_m_0"][order]
    found["readout.plain"] = found["readout.plain"][:, good]
    found["readout.skip.weight"] = found["readout.skip.weight"][:, felt]
    found["readout.fresh.weight"] = found["readout.fresh.weight"][:, felt]
    found["readout.trend.0.weight"] = found["readout.trend.0.weight"][:, felt]
    said = np.concatenate([means, n_lives * n_dims + felt])
    found["readout.mix.0.weight"] = found["readout.mix.0.weight"][:, said]


def _rising(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Sorted half-lives made distinct: equal ones are moved apart by a millionth."""
    out: list[float] = []
    for value in values.tolist():
        out.append(value if not out or value > out[-1] else out[-1] * (1.0 + 1e-6))
    return tuple(out)
