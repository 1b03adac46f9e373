"""Profiles in float16: means that keep moving, and snapshots that either form reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from recsys.decay.halves import float_to_half, half_to_float
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import ProfileDtype, Storage
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import DataSettings, InterestSettings, TrendSettings

INTEREST = InterestSettings()
KINDS = DataSettings().kinds
MODEL = ZeroShot(INTEREST, default_weights(INTEREST, TrendSettings()))
D, N, DAY = 32, 400, 86_400.0


def items(rng: np.random.Generator) -> ItemTable:
    v = rng.normal(size=(N, D)).astype(np.float32)
    return ItemTable.all_warm(v / np.linalg.norm(v, axis=1, keepdims=True))


def log(rng: np.random.Generator, n: int) -> tuple[list[str], FoldBatch]:
    kind = np.array(["click", "dislike", "rating", "purchase"], object)[rng.integers(0, 4, n)]
    ts = 1.7e9 + np.sort(rng.uniform(0.0, 200 * DAY, n))
    item = rng.integers(0, N, n).astype(np.int32)
    return [f"u{u}" for u in rng.integers(0, 20, n)], FoldBatch(
        item, ts, kind, rng.integers(1, 6, n).astype(float)
    )


def folded(
    dtype: ProfileDtype, users: list[str], batch: FoldBatch, v: ItemTable, seed: int = 0
) -> ProfileTable:
    table = ProfileTable(D, INTEREST, KINDS, storage=Storage(dtype, seed))
    for first in range(0, len(users), 16):
        some = slice(first, first + 16)
        rows = table.rows(users[some], create=True)
        table.fold(rows, batch.pick(some), MODEL, v)
    return table


def cosines(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def queries(table: ProfileTable, users: list[str], at: float) -> npt.NDArray[np.float32]:
    return MODEL.query(table.banks(table.rows(users)), at).vectors[:, 0]


def test_every_float16_survives_as_it_is() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    halves = halves[np.abs(halves.view(np.float16)) <= 1.0]
    for half in halves[::37]:
        number = np.float32(half_to_float(half))
        assert number == half.view(np.float16)
        assert float_to_half(number, 8_191) == half


def test_rounding_is_right_on_average(rng: np.random.Generator) -> None:
    for number in rng.uniform(-1.0, 1.0, 20).astype(np.float32):
        found = np.array([float_to_half(number, d) for d in range(0, 8_192, 8)], np.uint16)
        halves = found.view(np.float16).astype(np.float64)
        assert len(np.unique(halves)) <= 2
        assert np.abs(halves - number).max() <= 2.0**-11
        assert abs(halves.mean() - number) < 2.0**-11 / 500.0


def test_a_taste_goes_on_moving_where_a_step_is_smaller_than_a_float16_can_say() -> None:
    half_life = InterestSettings(half_lives_s=(1e9, 2e9), negative_half_lives_s=(1.0,))
    model = ZeroShot(half_life, default_weights(half_life, TrendSettings()))
    v = ItemTable.all_warm(np.eye(2, dtype=np.float32))
    kept = {}
    for dtype in ("float32", "float16"):
        table = ProfileTable(2, half_life, KINDS, storage=Storage(dtype))  # type: ignore[arg-type]
        row = table.rows(["u"], create=True)
        for item, n in ((0, 4_000), (1, 8_000)):  # of a mass of 4,000 an event is 1/4,000
            for first in range(0, n, 100):
                batch = FoldBatch(
                    np.full(100, item, np.int32),
                    np.full(100, 1.7e9 + first),
                    np.full(100, "click", object),
                    np.full(100, np.nan),
                )
                table.fold(np.repeat(row, 100), batch, model, v)
        banks = table.banks(row)
        kept[dtype] = banks.sums[0] / banks.mass[0, :, None]
    assert kept["float32"][0, 1] == pytest.approx(2 / 3, abs=1e-3)
    np.testing.assert_allclose(kept["float16"], kept["float32"], atol=0.02)


def test_queries_are_those_of_float32(rng: np.random.Generator) -> None:
    v, (users, batch) = items(rng), log(rng, 4_000)
    names = sorted(set(users))
    tables = [folded(dtype, users, batch, v) for dtype in ("float32", "float16")]
    whole, half = (queries(table, names, 1.7e9 + 201 * DAY) for table in tables)
    assert cosines(whole, half).min() > 0.9995
    np.testing.assert_allclose(tables[1].mass, tables[0].mass, rtol=1e-5)
    np.testing.assert_array_equal(tables[1].t_ref, tables[0].t_ref)


def test_the_same_seed_gives_the_same_bits(rng: np.random.Generator) -> None:
    v, (users, batch) = items(rng), log(rng, 500)
    first, again, other = (folded("float16", users, batch, v, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.sums, again.sums)
    assert (first.sums != other.sums).any()


@pytest.mark.parametrize("of", ["float32", "float16"])
@pytest.mark.parametrize("into", ["float32", "float16"])
def test_a_snapshot_of_either_form_loads_into_either(
    rng: np.random.Generator, of: ProfileDtype, into: ProfileDtype
) -> None:
    v, (users, batch) = items(rng), log(rng, 800)
    table = folded(of, users, batch, v)
    columns = table.columns()
    assert ("sums" in columns["state"]) == (of == "float32")
    back = ProfileTable.from_columns(columns, INTEREST, KINDS, storage=Storage(into))
    assert back.user_ids == table.user_ids
    if of == into:
        np.testing.assert_array_equal(back.sums, table.sums)
    names, at = sorted(set(users)), 1.7e9 + 201 * DAY
    assert cosines(queries(table, names, at), queries(back, names, at)).min() > 0.9995
    np.testing.assert_array_equal(back.mass, table.mass)
    for row in range(len(table)):
        for a, b in zip(back.recent(row), table.recent(row), strict=True):
            np.testing.assert_array_equal(a, b)


def test_half_the_memory_is_taken() -> None:
    sizes = {}
    for dtype in ("float32", "float16"):
        table = ProfileTable(64, INTEREST, KINDS, storage=Storage(dtype))  # type: ignore[arg-type]
        sizes[dtype] = table.memory.place.record_bytes
    assert sizes == {"float32": 2_640, "float16": 1_360}
