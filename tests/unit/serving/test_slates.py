"""Making slates from evidence."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsys.bundle import Bundle
from recsys.settings import Settings, load
from recsys.shelf import Evidence
from recsys.trend import TrendState
from serving.pool.messages import TrendUpdate
from serving.slates import SlateMaker, SlateRequest


def test_what_was_seen_is_a_candidate_of_a_large_catalog_too_where_it_may_be_shown(
    bundle: Bundle, settings: Settings
) -> None:
    retrieval = bundle.settings.retrieval.model_copy(update={"exact_below": 1})
    large = bundle.settings.model_copy(update={"retrieval": retrieval})
    maker = SlateMaker(dataclasses.replace(bundle, settings=large), settings)
    row = bundle.catalog.index["mute"]  # no text: only its trend can bring it
    trend = TrendState(bundle.settings.trend.half_lives_s)
    trend.add(np.array([row]), np.array([0.0]), np.array([50.0]))
    maker.trend.apply(TrendUpdate(1, 0.0, is_full=True, parts=(trend.columns(),)))
    seen = Evidence(maker.shelf.nobody, seen=np.array([row]))
    for exclude_seen in (True, False):
        reply = maker.make(seen, 0.0, SlateRequest(k=5, exclude_seen=exclude_seen))
        assert ("mute" in [item.item_id for item in reply.items]) is not exclude_seen


def large(bundle: Bundle) -> Bundle:
    """The bundle as one whose catalog is too large to be scored as a whole."""
    retrieval = bundle.settings.retrieval.model_copy(update={"exact_below": 1})
    settings = bundle.settings.model_copy(update={"retrieval": retrieval})
    return dataclasses.replace(bundle, settings=settings)


def asking(maker: SlateMaker, row: int) -> Evidence:
    """Somebody who likes one item."""
    vector = maker.shelf.items.vectors[row][None, None]
    return Evidence(maker.shelf.nobody._replace(vectors=vector))


def test_a_small_catalog_is_scored_as_a_whole_and_says_so(
    bundle: Bundle, settings: Settings
) -> None:
    maker = SlateMaker(bundle, settings)
    reply = maker.make(asking(maker, 0), 0.0, SlateRequest(k=3))
    assert [item.sources for item in reply.items] == [["all"]] * 3
    assert reply.reason is None and reply.items[0].log_propensity is None


def test_items_of_a_large_catalog_say_which_sources_found_them(
    bundle: Bundle, settings: Settings
) -> None:
    maker = SlateMaker(large(bundle), settings)
    reply = maker.make(asking(maker, 0), 0.0, SlateRequest(k=3))
    assert [item.sources for item in reply.items] == [["interest", "trend"]] * 3


def test_a_process_may_ask_other_sources_than_its_bundle(bundle: Bundle) -> None:
    settings = load(
        assignments=["encoder.n_dims=8", "retrieval.sources={interest: 1}", "serving.max_k=2"]
    )
    maker = SlateMaker(large(bundle), settings)
    reply = maker.make(asking(maker, 0), 0.0, SlateRequest(k=20))
    assert [item.sources for item in reply.items] == [["interest"]] * 3  # 1, and max_k more
    assert reply.reason is not None and "3 of 20" in reply.reason
    assert "3 of the rest are candidates (interest)" in reply.reason


def test_a_request_may_ask_for_diversity(bundle: Bundle, settings: Settings) -> None:
    maker = SlateMaker(bundle, settings)
    space = asking(maker, bundle.catalog.index["space-1"])
    plain = maker.make(space, 0.0, SlateRequest(k=6))
    assert all(item.item_id.startswith("space-") for item in plain.items)
    same = maker.make(space, 0.0, SlateRequest(k=6, diversity=0.0))
    assert [i.item_id for i in same.items] == [i.item_id for i in plain.items]
    mixed = maker.make(space, 0.0, SlateRequest(k=6, diversity=0.9))
    assert any(item.item_id.startswith("food-") for item in mixed.items)


def test_a_drawn_slate_can_be_drawn_again_from_its_request_id(bundle: Bundle) -> None:
    steps = "reranking.steps=[caps, sample]"
    more = ["reranking.sample.temperature=5", "reranking.caps.per_category=4"]
    settings = load(assignments=["encoder.n_dims=8", steps, *more])
    maker = SlateMaker(bundle, settings)
    found = [maker.make(asking(maker, 0), 0.0, SlateRequest(k=5)) for _ in range(8)]
    assert len({tuple(item.item_id for item in reply.items) for reply in found}) > 1
    odds = [item.log_propensity for item in found[0].items]
    assert all(value is not None and value < 0 for value in odds)
    short = maker.make(asking(maker, 0), 0.0, SlateRequest(k=20))
    assert len(short.items) == 8 and short.reason is not None
    assert short.reason.endswith("16 are over the caps of categories or providers")
