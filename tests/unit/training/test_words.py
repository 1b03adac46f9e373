"""The users' own words in training: rows, batches, and what a silent log must not notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from recsys.events import NO_TEXT, UNKNOWN_ITEM
from recsys.training.batches import BatchMaker
from recsys.training.fitting import Material, before
from recsys.training.learner import Learner
from recsys.training.sequences import pack, packs, questions, user_rows
from recsys.training.surroundings import Texts
from tests.unit.training.logs import catalog, events, settings, spoken, text_vectors


def test_words_alone_are_evidence_and_silence_is_none(rng: np.random.Generator) -> None:
    log, _ = spoken(events(rng), rng)
    assert log.text is not None
    runs = pack(user_rows(log, settings()))
    np.testing.assert_array_equal(runs.text, np.maximum(log.text, NO_TEXT))
    searches = log.kind == "search"
    np.testing.assert_array_equal(runs.sign[searches], (log.text[searches] >= 0).astype(int))
    assert not runs.target[searches].any()
    assert runs.sign[log.kind == "comment"].all(), "their items are evidence, read or not"


def test_a_batch_holds_each_of_its_texts_once(rng: np.random.Generator) -> None:
    log, words = spoken(events(rng), rng)
    some = settings()
    material = Material.of(log, catalog(), Texts(text_vectors(rng), words), some)
    batch = BatchMaker(material.log, some, rng).training(pack(material.rows))
    assert batch is not None and batch.words is not None and batch.words_at is not None
    runs, at = pack(material.rows), batch.words_at.numpy()
    assert len(batch.words) == len(np.unique(runs.text[runs.text >= 0]))
    assert np.all((at == len(batch.words)) == (runs.text == NO_TEXT))
    said = runs.text >= 0
    np.testing.assert_array_equal(batch.words.numpy()[at[said]], words[runs.text[said]])


def test_a_pack_in_which_nobody_speaks_trains_the_reader_all_the_same(
    rng: np.random.Generator,
) -> None:
    """Workers that train together wait for the gradient of every weight."""
    log, words = spoken(events(rng), rng)
    some = settings()
    material = Material.of(log, catalog(), Texts(text_vectors(rng), words), some)
    learner = Learner(material.log, some, 5, seed=1)
    silent = pack(material.rows)
    silent = silent._replace(
        text=np.full_like(silent.text, NO_TEXT),
        sign=np.where(silent.item == UNKNOWN_ITEM, 0, silent.sign).astype(np.int8),
    )
    learner.step(silent)
    reader = learner.network.event.text
    assert reader is not None
    assert reader.weight.grad is not None and not reader.weight.grad.any()


def test_the_reader_begins_as_items_are_read_and_learns(rng: np.random.Generator) -> None:
    log, words = spoken(events(rng), rng)
    some = settings()
    material = Material.of(log, catalog(), Texts(text_vectors(rng), words), some)
    learner = Learner(material.log, some, 20, seed=1)
    reader, tower = learner.network.event.text, learner.network.item.project
    assert reader is not None and tower is not None
    assert torch.equal(reader.weight, tower.weight) and reader.weight is not tower.weight
    first = reader.weight.detach().clone()
    for batch in packs([material.rows], 256, rng):
        learner.step(batch)
    assert not torch.equal(reader.weight, first)
    silent = Learner(Material.of(log, catalog(), Texts(None, words), some).log, some, 5, seed=1)
    assert silent.network.event.text is not None
    assert not silent.network.event.text.weight.any()


def test_a_log_without_words_is_trained_as_if_there_were_none(rng: np.random.Generator) -> None:
    log, some, vectors = events(rng), settings(), text_vectors(rng)
    mute = replace(log, text=np.full(len(log), NO_TEXT, np.int32))
    nothing = np.zeros((0, vectors.shape[1]), np.float32)
    found = []
    for given, texts in [(log, vectors), (log, Texts(vectors)), (mute, Texts(vectors, nothing))]:
        material = Material.of(given, catalog(), texts, some)
        assert material.log.words is None
        learner = Learner(material.log, some, 10, seed=3)
        assert not any("event.text" in name for name in learner.network.state_dict())
        losses = [
            learner.step(batch)["loss"]
            for batch in packs([material.rows], 256, np.random.default_rng(5))
        ]
        found.append(losses)
    assert found[0] == found[1] == found[2]


def test_transitions_do_not_start_from_words(rng: np.random.Generator) -> None:
    log, words = spoken(events(rng), rng)
    some = settings()
    loud = Material.of(log, catalog(), Texts(None, words), some)
    mute = Material.of(replace(log, text=None), catalog(), None, some)
    assert loud.log.transitions is not None and mute.log.transitions is not None
    np.testing.assert_array_equal(loud.log.transitions.weights, mute.log.transitions.weights)
    asked = questions(pack(loud.rows), "strict")
    assert np.any(pack(loud.rows).item[asked.last[asked.last >= 0]] == UNKNOWN_ITEM)


def test_events_before_a_moment_keep_their_words(rng: np.random.Generator) -> None:
    log, _ = spoken(events(rng), rng)
    moment = float(np.median(log.ts))
    kept = before(log, moment)
    assert kept.text is not None and log.text is not None
    np.testing.assert_array_equal(kept.text, log.text[log.ts < moment])
