from __future__ import annotations

import numpy as np

from recsys.freshness import freshness
from recsys.training.trend_table import (
    CELLS_PER_HALF_LIFE,
    TrendTable,
    cell_s,
    count_cells,
    merge_counts,
)
from recsys.trend import TrendState, trend_features

LIVES = (3_600.0, 86_400.0)
N = 6


def test_features_are_those_of_the_exact_trend_to_a_few_percent(rng: np.random.Generator) -> None:
    ts = np.sort(rng.uniform(0.0, 5 * 86_400.0, 2_000))
    item = rng.integers(0, N, len(ts))
    width = cell_s(LIVES)
    table = TrendTable(count_cells(item, ts, np.ones(len(ts)), width), N, LIVES)
    for as_of in (3 * 86_400.0, 4.5 * 86_400.0):
        cells = table.cells(np.array([as_of]))
        begin = float(cells[0]) * width
        state = TrendState(LIVES)
        past = ts < begin
        state.add(item[past], ts[past], np.ones(past.sum()))
        exact = trend_features(state.at(begin, N))
        np.testing.assert_allclose(table.features(cells, np.arange(N))[0], exact, rtol=0.02)


def test_a_cell_knows_nothing_of_its_own_events() -> None:
    width = cell_s(LIVES)
    counts = count_cells(np.array([2]), np.array([10.5 * width]), np.ones(1), width)
    table = TrendTable(counts, N, LIVES)
    assert not table.features(np.array([10]), np.arange(N)).any()
    later = table.features(np.array([11]), np.arange(N))[0]
    assert later[2].min() > 0.0 and not np.delete(later, 2, axis=0).any()


def test_merged_counts_are_the_counts_of_all_events(rng: np.random.Generator) -> None:
    ts, item = rng.uniform(0.0, 1e6, 500), rng.integers(0, N, 500)
    ones = np.ones(500)
    whole = count_cells(item, ts, ones, 150.0)
    halves = [count_cells(item[i::2], ts[i::2], ones[i::2], 150.0) for i in (0, 1)]
    for found, expected in zip(merge_counts(halves), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_is_left_of_births_is_exact_to_a_cell(rng: np.random.Generator) -> None:
    table = TrendTable(
        count_cells(np.zeros(1, int), np.ones(1), np.ones(1), cell_s(LIVES)), 1, LIVES
    )
    as_of = np.sort(rng.random(30)) * 1e7
    born = np.where(rng.random(50) < 0.3, -np.inf, as_of[0] * rng.random(50))
    cells = table.cells(as_of)
    found = table.fresh(cells, born)
    exact = freshness(born, as_of[:, None], LIVES)
    assert np.abs(found - exact).max() < 1.0 - 2.0 ** (-2.0 / CELLS_PER_HALF_LIFE)
    assert not found[:, ~np.isfinite(born)].any()
    assert table.fresh(cells, np.full(3, -np.inf)).shape == (30, 3, 0)
