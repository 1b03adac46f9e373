"""The whole training without Ray: a pilot that stops early, then a fit on everything.

The pilot learns from the events before the validation tail, as a deployed model does, and is asked
about the tail; so the number of epochs and the share of virtual cutoffs are chosen where the model
is stale. The test is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from recsys.catalog import Catalog
from recsys.errors import DataError
from recsys.evaluation.split import time_at_share
from recsys.events import EventArrays
from recsys.item_side import ItemSideOptions
from recsys.settings import Settings
from recsys.training.export import Exported, exported
from recsys.training.item_side_choice import choose_item_side
from recsys.training.learner import Learner
from recsys.training.network import Balance
from recsys.training.sequences import Pack, pack, packs, questions, user_rows
from recsys.training.surroundings import AnyTexts, Gathering, Surroundings
from recsys.training.text_tower import TextTower
from recsys.training.transition_counts import (
    count_transitions,
    transition_sums,
    with_transitions,
)
from recsys.training.validation import NOTHING_ASKED, Validation

OnEpoch = Callable[[dict[str, Any]], bool]
"""Called after each epoch with its figures; True stops the phase."""

MakeLanguage = Callable[[], TextTower]

MIN_QUESTIONS = 50
"""Fewer questions than this in the tail choose nothing."""


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came about."""

    exported: Exported
    learner: Learner
    history: list[dict[str, Any]] = field(default_factory=list)
    """Figures of every epoch: phase, stale_share, epoch, loss; in a pilot ndcg, hits, balance."""
    best: dict[str, Any] = field(default_factory=dict)
    """What the pilot chose: stale_share, n_epochs, balance, ndcg; empty without a pilot."""
    item_side: ItemSideOptions | None = None
    """How loud the items' own profiles are; None = they are not used."""


@dataclass
class Piloted:
    """What a pilot found."""

    best: dict[str, Any] = field(default_factory=dict)
    """stale_share, n_epochs, personal, current, ndcg; empty where there is no tail to ask."""
    learner: Learner | None = None
    """That was best; None before the first epoch, and where all is trained again anyway."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """Of that learner when it was best."""

    def see(self, figures: dict[str, Any], learner: Learner | None) -> None:
        """Remember an epoch that is better than all before, with its learner where one is given."""
        if figures["ndcg"] <= self.best.get("ndcg", -1.0):
            return
        kept = ("stale_share", *Balance._fields, "ndcg")
        self.best = {"n_epochs": figures["epoch"], **{name: figures[name] for name in kept}}
        if learner is not None:
            self.learner = learner
            self.state = {name: value.clone() for name, value in learner.state().items()}

    def restored(self) -> Learner | None:
        """The learner as it was at its best, in the balance that was."""
        if self.learner is not None:
            self.learner.restore(self.state)
            self.learner.network.rebalance(balance_of(self.best))
            self.learner.refresh()
        return self.learner


@dataclass(frozen=True)
class Material:
    """A log to learn from, in memory."""

    rows: pa.Table
    """Schema ``USER_ROWS``."""
    log: Surroundings
    n_events: int

    @classmethod
    def of(
        cls, events: EventArrays, catalog: Catalog, text: AnyTexts, settings: Settings
    ) -> Material:
        """Everything in some events.

        Raises:
            DataError: if none is positive.
        """
        gathering = Gathering(len(catalog), settings)
        gathering.add(events)
        rows = user_rows(events, settings)
        log = gathering.finish(text, catalog)
        if settings.model.use_transitions:
            sums = transition_sums(log, settings)
            count_transitions(sums, rows, settings)
            log = with_transitions(log, sums, settings)
        return cls(rows, log, len(events))

    def steps_per_epoch(self, batch_events: int) -> int:
        """About how many packs an epoch has."""
        return max(1, math.ceil(self.n_events / batch_events))


def fit(
    events: EventArrays,
    catalog: Catalog,
    text: AnyTexts,
    settings: Settings,
    on_epoch: OnEpoch | None = None,
    language: MakeLanguage | None = None,
) -> Fitted:
    """Train a model: a pilot, then everything; only the pilot where ``train.refit`` is false.

    Args:
        events: all that may be known.
        catalog: N items.
        text: (N, E) vectors of their texts, or of the events' too; None = none says anything.
        settings: sections model, train, interest, trend, encoder, ``ranking.validation_share``.
        on_epoch: told each epoch's figures; may stop the phase.
        language: makes the untrained language model, for the stages ``lora`` and ``full``.

    Raises:
        DataError: if no event is positive, or the loss is not finite.
    """
    history: list[dict[str, Any]] = []
    piloted = Piloted()
    if settings.train.pilot:
        piloted = pilot(events, catalog, text, settings, _told(history, on_epoch), language)
    best, kept = piloted.best, piloted.restored()
    side: ItemSideOptions | None = None
    if kept is not None:
        ready = exported(kept.network, kept.surroundings, settings)
        if settings.model.item_profile:
            side, best["item_side"] = choose_item_side(events, catalog, ready, settings)
        if not settings.train.refit:
            return Fitted(ready, kept, history, best, side)
    whole = Material.of(events, catalog, text, settings)
    if best:
        settings = with_training(
            settings, n_epochs=best["n_epochs"], stale_shares=(best["stale_share"],)
        )
    learner = _learner(whole, settings, language)
    for figures in epochs(learner, whole, settings):
        if _told(history, on_epoch)({"phase": "fit", **figures}):
            break
    learner.network.rebalance(balance_of(best))
    learner.refresh()
    return Fitted(exported(learner.network, whole.log, settings), learner, history, best, side)


def epochs(learner: Learner, material: Material, settings: Settings) -> Iterator[dict[str, Any]]:
    """Train an epoch at a time; yields its number and mean loss."""
    rng = np.random.default_rng(settings.train.seed)
    for epoch in range(settings.train.n_epochs):
        total = n = 0.0
        for batch in packs([material.rows], settings.train.batch_events, rng):
            step = learner.step(batch)
            total += step["loss"] * step["n_questions"]
            n += step["n_questions"]
        yield {"epoch": epoch + 1, "loss": total / max(n, 1.0)}


def with_training(settings: Settings, **changes: Any) -> Settings:
    """The settings with other values in section ``train``."""
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


def balance_of(figures: Mapping[str, float]) -> Balance:
    """The balance that figures name; the learned one where they name none."""
    return Balance(**{name: figures[name] for name in Balance._fields if name in figures})


def before(events: EventArrays, until: float) -> EventArrays:
    """The events before a moment; users without any keep their place."""
    return events.kept(np.flatnonzero(events.ts < until))


def validation_packs(rows: pa.Table, since: float, settings: Settings) -> list[Pack]:
    """Runs with questions from a moment on; users are drawn until there are enough questions."""
    order = np.random.default_rng(settings.train.seed).permutation(len(rows))
    found, n_questions = [], 0
    for row in order.tolist():
        one = pack(rows.slice(row, 1))
        n = len(questions(one, "strict", since)) if one.ts[-1:].max(initial=-np.inf) >= since else 0
        if n > 0:
            found.append(row)
            n_questions += n
        if n_questions >= settings.train.n_validation_queries:
            break
    chosen = rows.take(pa.array(sorted(found), pa.int64()))
    return list(packs([chosen], settings.train.batch_events, None)) if n_questions else []


def mean_ndcg(learner: Learner, validation: Validation, batches: list[Pack]) -> dict[str, float]:
    """``ndcg`` and ``hits`` at 10 over all questions of some runs, in the best balance.

    Returns:
        Those two, the balance's ``personal`` and ``current``, and the number ``n`` of questions.
    """
    learner.refresh()
    sums = NOTHING_ASKED
    for batch in batches:
        sums = sums.plus(validation.sums(learner.network, batch))
    return sums.best()


def pilot(
    events: EventArrays,
    catalog: Catalog,
    text: AnyTexts,
    settings: Settings,
    told: OnEpoch,
    language: MakeLanguage | None = None,
) -> Piloted:
    """Train on the events before the validation tail, for each share of virtual cutoffs.

    Args:
        events: all that may be known, the tail included.
        catalog: N items.
        text: (N, E) vectors of their texts, or of the events' too; None = none says anything.
        settings: as for ``fit``.
        told: called with each epoch's figures, ``ndcg`` of the tail among them; may stop a share.
        language: as for ``fit``.

    Returns:
        The best number of epochs and share of cutoffs, and the network that had it where
        ``train.refit`` is false or item profiles are chosen with it.
    """
    try:
        since = time_at_share(events.ts, 1.0 - settings.ranking.validation_share)
        material = Material.of(before(events, since), catalog, text, settings)
    except DataError:
        return Piloted()
    whole = Material.of(events, catalog, text, settings)
    batches = validation_packs(whole.rows, since, settings)
    validation = Validation(material.log, whole.log, settings, since)
    piloted = Piloted()
    for share in settings.train.stale_shares:
        some = with_training(settings, stale_shares=(share,))
        learner, since_best, mine = _learner(material, some, language), 0, -1.0
        for figures in epochs(learner, material, some):
            found = mean_ndcg(learner, validation, batches)
            if found["n"] < MIN_QUESTIONS:
                return Piloted()
            whole_figures = {"phase": "pilot", "stale_share": share, **figures, **found}
            is_kept = settings.model.item_profile or not settings.train.refit
            piloted.see(whole_figures, learner if is_kept else None)
            since_best = 0 if found["ndcg"] > mine else since_best + 1
            mine = max(mine, found["ndcg"])
            if told(whole_figures) or since_best >= settings.train.patience:
                break
    return piloted


def _learner(material: Material, settings: Settings, language: MakeLanguage | None) -> Learner:
    train, log = settings.train, material.log
    n_steps = train.n_epochs * material.steps_per_epoch(train.batch_events)
    model = None if language is None or train.stage == "frozen" else language()
    if model is not None and log.text is not None:
        model.start_from(log.text)
    return Learner(log, settings, n_steps, train.seed, language=model)


def _told(history: list[dict[str, Any]], on_epoch: OnEpoch | None) -> OnEpoch:
    def tell(figures: dict[str, Any]) -> bool:
        history.append(figures)
        return on_epoch is not None and on_epoch(figures)

    return tell
