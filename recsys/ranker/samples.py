"""What the model is fitted to: past questions with the best items by the encoder, read as then.

Each question of the validation tail is asked as it was at its moment, and its candidates are what a
slate would have had: the best by the encoder's score of all that may be shown. A right answer that
is not among them cannot be ranked, whatever the model; it counts as missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.composition import Stage, questions
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.scene import Asked
from recsys.ranker.alpha import N_PROFILE, profiles
from recsys.ranker.model import Ranker
from recsys.ranker.scoring import feature
from recsys.ranker.viewed import one_view
from recsys.ranking import Floats
from recsys.slate import N_NEAR, SlateOptions, by_encoder, find
from recsys.sources.base import Asked as Question

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Q questions with C places for candidates, the best by the encoder first."""

    user: Ints
    """(Q,)."""
    encoder: Floats
    """(Q, C) its score; -inf = an empty place."""
    features: Floats
    """(Q, C, F) in the order of the settings; 0 in empty places."""
    is_right: Bools
    """(Q, C)."""
    n_right: Ints
    """(Q,) right answers, those that are missed included."""
    profile: Doubles
    """(Q, P) what alpha is predicted from."""
    gap_s: Doubles
    """(Q,) seconds since the user's latest event."""

    def pick(self, rows: Any) -> Samples:
        """Some questions: a slice, or an array of positions."""
        return Samples(**{name: part[rows] for name, part in self.arrays().items()})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The fields by name."""
        return dict(vars(self))

    def __len__(self) -> int:
        return len(self.user)


def samples_of(
    stage: Stage, asked: Asked, n_ranked: int, ranker: Ranker
) -> dict[str, npt.NDArray[Any]]:
    """Read the candidates of past questions.

    Args:
        stage: the past; its shelf without a ranking model.
        asked: the queries, ``with_histories``, by time.
        n_ranked: items of a question that are the best by the encoder's score.
        ranker: says which features, and holds the neighbours that they may read.

    Returns:
        The fields of ``Samples`` by name, so that runs of queries can be stacked.
    """
    n_near = 0 if ranker.neighbours is None else N_NEAR
    shape = (len(asked), min(n_ranked + n_near, stage.scene.n_items))
    out = Samples(
        user=np.asarray(asked.queries.user, np.int64),
        encoder=np.full(shape, -np.inf, np.float32),
        features=np.zeros((*shape, len(ranker.options.features)), np.float32),
        is_right=np.zeros(shape, np.bool_),
        n_right=np.diff(asked.queries.target_bounds),
        profile=np.zeros((len(asked), N_PROFILE)),
        gap_s=np.zeros(len(asked)),
    )
    shelf = replace(stage.shelf, ranker=ranker)
    bounds = asked.queries.target_bounds
    for q, question in enumerate(questions(stage, asked)):
        target = asked.queries.target[bounds[q] : bounds[q + 1]]
        _read(out, q, (replace(question, shelf=shelf), n_ranked), target)
    return out.arrays()


def _read(out: Samples, q: int, asked: tuple[Question, int], target: Any) -> None:
    question, n_ranked = asked
    assert question.shelf.ranker is not None
    options = question.shelf.ranker.options
    ranked = by_encoder(question, find(question, SlateOptions()), n_ranked)
    items = (ranked.rows, question.trend_features, ranked.parts)
    viewed = one_view(question.shelf, question.evidence, items, question.as_of, options)
    n = len(ranked)
    out.encoder[q, :n] = ranked.scores
    for f, name in enumerate(options.features):
        out.features[q, :n, f] = feature(name).read(viewed)[0]
    out.is_right[q, :n] = np.isin(ranked.rows, target)
    events, mass = viewed.events, viewed.long.sum(axis=1)
    out.profile[q], out.gap_s[q] = (
        part[0] for part in profiles(viewed.held, events.ts, viewed.moments, mass)
    )


def ndcg_of(samples: Samples, scores: Floats, k: int = 10) -> Doubles:
    """(Q,) NDCG@k of scores (Q, C) of the candidates; of equals the better by the encoder first."""
    query, place = np.nonzero(samples.is_right)
    mine = scores[query, place][:, None]
    some = scores[query]
    before = np.arange(scores.shape[1]) < place[:, None]
    ranks = ((some > mine) | ((some == mine) & before)).sum(axis=1)
    width = max(scores.shape[1], k)
    bounds = np.concatenate([[0], np.cumsum(samples.n_right)])
    whole = width + np.arange(bounds[-1])  # the missed stand behind all others
    nth = np.arange(len(query)) - np.searchsorted(query, query, side="left")
    whole[bounds[query] + nth] = ranks
    n_candidates = np.full(len(samples), width + bounds[-1])
    return accuracy(whole, bounds, n_candidates, k)["ndcg"]
