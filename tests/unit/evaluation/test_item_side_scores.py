from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.evaluation.protocol import OURS, recommend, walk_ours
from recsys.item_side import ItemSideOptions, takers_of
from tests.unit.evaluation.test_protocol import SETTINGS, Log

OPTIONS = ItemSideOptions(half_life_s=86_400.0, strength=0.5)


def test_item_profiles_are_a_part_of_our_scores_as_of_each_query() -> None:
    log = Log()
    known = (log.scene.model, log.scene.items, SETTINGS.interest)
    takers = takers_of(log.events, log.positive, *known)
    with_side = replace(log.scene, item_side=(takers, OPTIONS))
    asked = log.new()
    some = asked.part(len(asked) - 20, len(asked))
    both = zip(walk_ours(with_side, some), walk_ours(log.scene, some), strict=True)
    for (q, scores, allowed), (_, plain, _) in both:
        age = some.queries.as_of[q] - takers.ts
        decay = np.where(age > 0.0, 0.5 ** (age / OPTIONS.half_life_s), 0.0)
        near = decay * (takers.vectors @ some.u[OURS].vectors[q, 0])
        near, mass = (np.bincount(takers.item, x, len(log.catalog)) for x in (near, decay))
        expected = OPTIONS.strength * near / (mass + OPTIONS.prior)
        np.testing.assert_allclose(scores - plain, expected, atol=1e-4)
        assert not allowed[some.seen[some.seen_bounds[q] : some.seen_bounds[q + 1]]].any()
    slates = recommend(with_side, some, 10)["rows"]
    assert (slates != recommend(log.scene, some, 10)["rows"]).any()
