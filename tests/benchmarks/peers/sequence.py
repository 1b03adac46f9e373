"""Peers that read the order of events: RecTools' SASRec and HSTU.

RecTools cuts a training sequence to its latest events and trains on all of their next items. A
query is encoded from the latest events of its own history, which may be newer than the training;
HSTU is told the moment of the query as well. A third form of SASRec adds a linear map of fixed text
vectors to the id embeddings.
"""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet, ItemNetBase

from tests.benchmarks.peers.asking import Vocabulary
from tests.benchmarks.peers.exchange import Asked, Bools, Floats, Log
from tests.benchmarks.peers.shallow import vocabulary

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")
warnings.filterwarnings("ignore", category=FutureWarning, module="rectools")
warnings.filterwarnings("ignore", message="(?s).*Pydantic serializer", category=UserWarning)

MAX_ITEMS = 20_000
"""The output layer is as wide as the catalog: a sequence peer learns at most so many items."""


class TextItemNet(ItemNetBase):  # type: ignore[misc]
    """Item embeddings from fixed vectors by one linear map."""

    def __init__(self, vectors: Floats, n_factors: int, dropout_rate: float) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.from_numpy(vectors))
        self.project = torch.nn.Linear(vectors.shape[1], n_factors)
        self.dropout = torch.nn.Dropout(dropout_rate)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """(..., n_factors) of items (...)."""
        found: torch.Tensor = self.dropout(self.project(self.vectors[items.to(self.device)]))
        return found

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, n_factors: int, dropout_rate: float, **_: Any
    ) -> TextItemNet:
        """As RecTools makes its item nets; the dataset's item features are the vectors."""
        vectors = np.asarray(dataset.item_features.values, np.float32)
        return cls(vectors, n_factors, dropout_rate)

    @property
    def out_dim(self) -> int:
        """Width of the embeddings."""
        return int(self.project.out_features)


class Sequence:
    """SASRec or HSTU with fixed hyper-parameters.

    Args:
        kind: ``sasrec``, ``sasrec-text`` or ``hstu``.
        use: ``all`` or ``positive`` events.
        seed: of everything random.
        max_len: events that a sequence keeps, the latest.
        device: ``cpu``, or ``cuda`` where there is a GPU.
        vectors: (N, E) text vectors of the catalog, for ``sasrec-text``.
        **options: of the RecTools model.
    """

    def __init__(
        self,
        kind: str,
        use: str,
        seed: int,
        max_len: int,
        device: str = "cpu",
        vectors: Floats | None = None,
        **options: Any,
    ) -> None:
        self._use, self._vectors, self._max_len = use, vectors, max_len
        self._seed, self._device = seed, device
        self._clock = time.process_time if device == "cpu" else time.perf_counter
        maker = HSTUModel if kind == "hstu" else SASRecModel
        self._with_time = kind == "hstu"
        nets: tuple[type[ItemNetBase], ...] = (IdEmbeddingsItemNet,)
        if kind == "sasrec-text":
            nets = (IdEmbeddingsItemNet, TextItemNet)
        self._make = lambda: maker(
            session_max_len=max_len,
            item_net_block_types=nets,
            get_trainer_func=_TRAINERS[device],
            **options,
        )
        self._model: Any = None
        self._items: Vocabulary
        self._embeddings: torch.Tensor | None = None
        self.n_events = 0
        """Events that one epoch reads."""
        self.fit_s = 0.0
        """Seconds in training, all epochs: of the processor, or by the clock on a GPU."""

    def start(self, log: Log, learned: Bools) -> None:
        """Prepare to train on some events (T,)."""
        pl.seed_everything(self._seed, verbose=False)
        kept = learned & self._kept(log)
        self._items = vocabulary(log, kept, MAX_ITEMS)
        place = self._items.place[log.item]
        rows = np.flatnonzero(kept & (place >= 0))
        lengths = np.bincount(log.user[rows], minlength=len(log.user_ids))
        self.n_events = int(np.minimum(lengths[lengths > 1], self._max_len + 1).sum())
        self._dataset = self._as_dataset(log, rows, place[rows])
        self._model = self._make()
        self.fit_s = 0.0

    def train(self, n_epochs: int) -> None:
        """Train on."""
        began = self._clock()
        self._model.fit_partial(self._dataset, min_epochs=n_epochs, max_epochs=n_epochs)
        self.fit_s += self._clock() - began
        self._embeddings = None

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        """See ``Peer.scores``."""
        kept, out = self._kept(log), []
        for q in range(*rows.indices(len(asked))):
            places, events = self._items.history(log, asked, q, kept)
            out.append((places[-self._max_len :], log.ts[events[-self._max_len :]], asked.ts[q]))
        known = [n for n, (places, _, _) in enumerate(out) if len(places)]
        found = np.zeros((len(out), len(self._items)), np.float32)
        if known:
            found[known] = self._encode([out[n] for n in known])
        return self._items.spread(found)

    @torch.no_grad()
    def _encode(self, histories: list[Any]) -> Floats:
        """(n, V) scores of histories, none empty."""
        module, preparator = self._model.lightning_model, self._model.data_preparator
        network = module.torch_model.eval().to(self._device)
        if self._embeddings is None:
            self._embeddings = network.item_model.get_all_embeddings()
        whole = preparator.item_id_map.to_internal.reindex(np.arange(len(self._items)))
        whole = whole.fillna(-1).to_numpy(np.int64)  # RecTools drops the items of short sequences
        batch = []
        for places, ts, now in histories:
            items = whole[places]
            session, times = items[items >= 0].tolist(), ts[items >= 0].astype(np.int64).tolist()
            if self._with_time:  # RecTools wants the moment as the time of one more, empty event
                session, times = [*session, 0], [*times, int(now)]
            batch.append((session, [1.0] * len(session), {"unix_ts": times}))
        collated = preparator._collate_fn_recommend(batch)
        inputs = {name: tensor.to(self._device) for name, tensor in collated.items()}
        encoded = network.encode_sessions(inputs, self._embeddings)[:, -1, :]
        similarity = network.similarity_module
        logits = similarity(encoded.unsqueeze(1), self._embeddings)[:, 0, :].cpu().numpy()
        scores = np.full((len(logits), len(self._items)), -np.inf, np.float32)
        scores[:, whole >= 0] = logits[:, whole[whole >= 0]]
        return scores

    def _kept(self, log: Log) -> Bools:
        return log.positive if self._use == "positive" else log.touches

    def _as_dataset(self, log: Log, rows: Any, place: Any) -> Dataset:
        table = pd.DataFrame(
            {
                Columns.User: log.user[rows],
                Columns.Item: place,
                Columns.Weight: 1.0,
                Columns.Datetime: pd.to_datetime(log.ts[rows], unit="s"),
            }
        )
        if self._vectors is None:
            return Dataset.construct(table)
        vectors = pd.DataFrame(self._vectors[self._items.rows])
        vectors.insert(0, "id", np.arange(len(self._items)))
        return Dataset.construct(table, item_features_df=vectors, make_dense_item_features=True)


def _on_cpu() -> pl.Trainer:
    return _trainer("cpu")


def _on_gpu() -> pl.Trainer:
    return _trainer("gpu")


def _trainer(accelerator: str) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1,
        accelerator=accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


_TRAINERS = {"cpu": _on_cpu, "cuda": _on_gpu}
"""RecTools asks a maker of trainers for its name."""
