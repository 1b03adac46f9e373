"""Language: what back-propagating behaviour into the language model gives to cold items.

A small real slice, so that a decoder of 135 million weights can be trained on two cores: the most
chosen films, the users with most events of them. A fifth of the films is unknown until the split.
Each model is trained frozen, with adapters, and in full, everything else alike; told are the loss,
how far the vectors of the texts moved, and the hits of cold films among all films of the slice, by
text alone (no film has a trend there).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pipelines.models import model_folder
from recsys.catalog import catalog_from_items
from recsys.encoder.text import TextEncoder
from recsys.evaluation.split import time_queries
from recsys.events import EventArrays
from recsys.training.fitting import fit
from recsys.training.text_tower import TextTower
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.cold import drawn_items, without_past
from tests.benchmarks.quality_parts.judged import OURS, bootstrap_of, table, values_of
from tests.benchmarks.quality_parts.material import Floats, Log, new_to_user
from tests.benchmarks.quality_parts.others import narrowed
from tests.benchmarks.quality_parts.systems import Ours, by_time, rank
from tests.benchmarks.quality_parts.trained import Served

NAME = "movielens-100k"
N_FILMS, N_USERS = 300, 150
STAGES = ("frozen", "lora", "full")
COMMON = (
    "train.pilot=false",
    "train.n_epochs=6",
    "train.batch_events=512",
    "train.stale_shares=[0.0]",
    "train.id_dropout=0.3",  # cold films are what is asked about
    "encoder.max_tokens=24",
    "train.refresh_every=40",
)


@dataclass(frozen=True)
class Model:
    """A language model, and how it is trained here."""

    name: str
    settings: tuple[str, ...]


MODELS = (
    Model("minilm-l6", ("train.n_text_rows=64", "train.text_learning_rate=2e-4")),
    Model(
        "smollm2-135m",
        ("encoder.pooling=mean", "train.n_text_rows=16", "train.text_learning_rate=1e-4"),
    ),
)


def run(bench: Bench) -> Found:
    """Every model at every stage; ``--variants minilm-l6,smollm2-135m`` picks models."""
    if NAME not in bench.datasets:
        return {"figures": {}, "details": f"{NAME} was not asked for"}
    details: dict[str, Any] = {"settings": list(COMMON)}
    for model in MODELS:
        if bench.variants and model.name not in bench.variants:
            continue
        details[model.name] = _of_model(bench, model)
    return {"figures": {}, "details": details}


def _of_model(bench: Bench, model: Model) -> dict[str, Any]:
    name = f"encoder.model={model.name}"
    base = bench.settings(*COMMON, name, *model.settings)
    log = small(bench.log(NAME).under(base))
    log = replace(log, text=_read(log))
    cold = drawn_items(log, np.random.default_rng(base.evaluation.seed))
    log = without_past(log, cold, log.split_time)
    asked = time_queries(log.events, log.positive, log.split_time)
    queries = by_time(new_to_user(log, asked, bench.max_queries, cold))
    found: dict[str, Any] = {"n_queries": len(queries), "n_cold_films": int(cold.sum())}
    hits: dict[str, Any] = {}
    for stage in STAGES:
        settings = bench.settings(*COMMON, name, *model.settings, f"train.stage={stage}")
        served, moved = _trained(log.under(settings), bench)
        scene = served.scene(log)
        nothing = np.ones(len(log.catalog), bool)  # no film has a trend
        ours = Ours(log, scene, queries, served.interest, mute=nothing)
        ranked = rank(log, scene, queries, {OURS: ours})
        hits[stage] = values_of(ranked, "hit_rate")[OURS]
        losses = [round(h["loss"], 4) for h in served.history]
        found[stage] = {"loss": losses, "text_moved": moved}
        bench.say(f"{model.name} {stage}: cold HR@10 {hits[stage].mean():.4f}, moved {moved}")
    bootstrap = bootstrap_of(queries, base.evaluation)
    found["cold hr@10"] = table(hits, bootstrap)
    found["less_frozen"] = {
        stage: bootstrap.compare(hits[stage], hits["frozen"]) for stage in STAGES[1:]
    }
    return found


def small(log: Log) -> Log:
    """The films with most events and the users with most events of them, with a catalog of both."""
    item = log.events.item
    counts = np.bincount(item[item >= 0], minlength=len(log.catalog))
    films = np.sort(np.argsort(-counts, kind="stable")[:N_FILMS])
    mine = np.isin(item, films)
    n_mine = np.bincount(log.events.user[mine], minlength=len(log.events.user_ids))
    users = np.argsort(-n_mine, kind="stable")[:N_USERS]
    kept = log.only(mine & np.isin(log.events.user, users)).events
    catalog = catalog_from_items(log.catalog.to_table().take(films))
    return replace(log, events=_with_items(kept, films), catalog=catalog, text=None)


def _with_items(events: EventArrays, films: Any) -> EventArrays:
    place = np.searchsorted(films, events.item).astype(np.int32)
    return replace(events, item=place)


def _read(log: Log) -> Floats:
    encoder = log.settings.encoder
    return TextEncoder(model_folder(encoder.model), encoder).encode(log.catalog.item_texts())


def _trained(log: Log, bench: Bench) -> tuple[Served, float]:
    """A model trained on what came before the split, and how far its texts moved (0 to 2)."""
    torch.set_num_threads(1)
    settings, known = log.settings, narrowed(log, log.split_time)

    def told(figures: dict[str, Any]) -> bool:
        bench.say(f"{settings.encoder.model} {settings.train.stage} {figures}")
        return False

    def language() -> TextTower:
        texts = known.catalog.item_texts()
        folder = model_folder(settings.encoder.model)
        return TextTower(folder, texts, settings.encoder, settings.train)

    is_frozen = settings.train.stage == "frozen"
    made = None if is_frozen else language
    fitted = fit(known.events, known.catalog, known.text, settings, told, made)
    served = Served(fitted.exported, settings, 0.0, fitted.history, fitted.best)
    tower, before = fitted.learner.network.language, known.text
    if tower is None or before is None:
        return served, 0.0
    after = tower.table().cpu().numpy()
    return served, round(float(1.0 - (after * before).sum(axis=1).mean()), 5)
