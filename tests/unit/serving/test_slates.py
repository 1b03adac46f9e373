"""Making slates from evidence."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsys.bundle import Bundle
from recsys.settings import Settings
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
