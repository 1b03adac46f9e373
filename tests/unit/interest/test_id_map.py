from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.interest import id_map
from recsys.interest.id_map import NO_ROW, IdBytes, IdMap, hash_of


def find(ids: IdMap, names: list[str]) -> list[int]:
    return ids.find(IdBytes.of(names)).tolist()


def test_ids_get_rows_in_their_order_and_keep_them() -> None:
    ids = IdMap()
    assert ids.add(IdBytes.of(["a", "b", "a", ""])).tolist() == [0, 1, 0, 2]
    assert ids.add(IdBytes.of(["ü", "b"])).tolist() == [3, 1]
    assert find(ids, ["", "ü", "c"]) == [2, 3, NO_ROW]
    assert ids.ids().strings() == ["a", "b", "", "ü"]
    assert ids.ids(np.array([3, 0])).strings() == ["ü", "a"]


def test_an_id_may_be_of_ten_thousand_bytes() -> None:
    ids, long = IdMap(), "x" * 10_000
    assert ids.add(IdBytes.of([long + "a", long + "b", long])).tolist() == [0, 1, 2]
    assert find(ids, [long, long + "b", "x" * 9_999]) == [2, 1, NO_ROW]


def test_a_slice_of_an_arrow_array_is_read_where_it_begins() -> None:
    ids = IdMap()
    names = pa.array(["no", "yes", "there", "end"], pa.string())
    assert ids.add(IdBytes.of(names[1:3])).tolist() == [0, 1]
    assert ids.ids().strings() == ["yes", "there"]


def test_ids_that_hash_alike_are_told_apart_by_their_bytes() -> None:
    names = [f"u{n}" for n in range(300)]
    data = IdBytes.of(names)
    table = (np.zeros(1_024, np.int32) - 1, *(np.zeros(9_999, d) for d in ("u1", "u4", "i4", "u4")))
    for t in range(300):
        first, last = data.offsets[t], data.offsets[t + 1]
        slot = id_map._slot_of(table, data.data, first, last, 7)
        assert table[0][slot] == NO_ROW, names[t]
        table[0][slot] = t
        table[1][first:last] = data.data[first:last]
        table[2][t], table[3][t], table[4][t] = first, last - first, 7
    for t in range(300):
        slot = id_map._slot_of(table, data.data, *data.offsets[t : t + 2], 7)
        assert table[0][slot] == t


def test_the_hash_is_siphash_1_3() -> None:
    key = tuple(np.uint64(int.from_bytes(bytes(range(n, n + 8)), "little")) for n in (0, 8))
    data = np.arange(64, dtype=np.uint8)
    # of the reference implementation, key 00..0f, message 00..(n - 1)
    assert int(hash_of(data, 0, 0, key)) == 0xABAC0158050FC4DC
    assert int(hash_of(data, 0, 8, key)) != int(hash_of(data, 0, 7, key))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=200))
def test_any_sequence_of_additions_and_removals_equals_a_dictionary(
    steps: list[tuple[bool, int]],
) -> None:
    ids, names = IdMap(), []
    for is_addition, number in steps:
        name = f"user {number}" * (1 + number % 3)
        if is_addition:
            if name not in names:
                names.append(name)
            assert ids.add(IdBytes.of([name])).tolist() == [names.index(name)]
        elif name in names:
            row = names.index(name)
            assert ids.remove(row) == len(names) - 1
            names[row] = names[-1]
            names.pop()
        everybody = [f"user {n}" * (1 + n % 3) for n in range(41)]
        expected = [names.index(name) if name in names else NO_ROW for name in everybody]
        assert find(ids, everybody) == expected
    assert ids.ids().strings() == names


def test_many_ids_survive_growth_and_removal(rng: np.random.Generator) -> None:
    names = [f"{n:x}" for n in rng.integers(0, 2**60, 20_000)]
    ids = IdMap()
    for first in range(0, len(names), 777):
        ids.add(IdBytes.of(names[first : first + 777]))
    assert find(ids, names) == list(range(len(names)))
    for _ in range(15_000):
        row = int(rng.integers(len(names)))
        ids.remove(row)
        names[row] = names[-1]
        names.pop()
    assert find(ids, names) == list(range(len(names)))
    assert ids.ids().strings() == names
    assert len(ids._arena) < 3 * sum(map(len, names))
