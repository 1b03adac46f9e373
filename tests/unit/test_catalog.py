import numpy as np
import pyarrow as pa
import pytest

from recsys.catalog import Catalog, aligned_rows, catalog_from_items
from recsys.schema import ITEMS, TIMESTAMP

DAY_US = 86_400 * 1_000_000


def items(**columns: object) -> pa.Table:
    n = len(columns["item_id"])  # type: ignore[arg-type]
    columns = {"tenant": ["default"] * n, **columns}
    arrays = [pa.array(columns.get(f.name, [None] * n), f.type) for f in ITEMS]
    return pa.Table.from_arrays(arrays, schema=ITEMS)


@pytest.fixture
def catalog() -> Catalog:
    table = items(
        item_id=["b", "c", "a"],
        title=["Bread", None, "  Apple\n pie "],
        text=["Fresh.", None, None],
        categories=[["Bakery", "Bread"], None, ["Sweets", ""]],
        available_from=[None, DAY_US, 5 * DAY_US],
        created_at=[2 * DAY_US, None, 3 * DAY_US],
        available_until=[9 * DAY_US, None, None],
    )
    return catalog_from_items(table, extra_item_ids=["d", "a", None])  # type: ignore[list-item]


def test_rows_are_sorted_by_id_and_events_add_items_without_text(catalog: Catalog) -> None:
    assert catalog.item_ids == ["a", "b", "c", "d"]
    assert catalog.index == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert catalog.has_text.tolist() == [True, True, False, False]


def test_an_items_text_names_each_category_once(catalog: Catalog) -> None:
    assert catalog.item_texts() == ["Apple pie. Sweets", "Bread. Fresh. Bakery", "", ""]


def test_the_order_of_the_table_does_not_matter(catalog: Catalog) -> None:
    table = catalog.to_table()
    turned = catalog_from_items(table.take(list(range(len(table)))[::-1]))
    assert turned.to_table() == table


def test_an_item_is_available_from_the_later_of_its_two_dates_until_its_end(
    catalog: Catalog,
) -> None:
    day = 86_400.0
    assert catalog.available_from.tolist() == [5 * day, 2 * day, day, -np.inf]
    assert catalog.available(8.9 * day).tolist() == [True, True, True, True]
    assert catalog.available(9 * day).tolist() == [True, False, True, True]
    assert catalog.available(2 * day).tolist() == [False, True, True, True]
    assert catalog.available(0.0).tolist() == [False, False, False, True]


def test_items_of_the_future_are_left_out_even_if_events_name_them() -> None:
    table = items(item_id=["a", "b"], created_at=[DAY_US, 3 * DAY_US])
    assert catalog_from_items(table, ["b", "c"], until=3 * 86_400.0).item_ids == ["a", "c"]


def test_the_table_keeps_every_field(catalog: Catalog) -> None:
    again = catalog_from_items(catalog.to_table("t"))
    assert again.to_table("t").equals(catalog.to_table("t"))
    assert again.categories[0] == ("Sweets",)
    np.testing.assert_array_equal(again.available_until, catalog.available_until)


def test_of_an_id_that_comes_twice_the_last_row_counts() -> None:
    assert catalog_from_items(items(item_id=["a", "a"], title=["old", "new"])).titles == ["new"]


def test_a_table_with_ids_alone_is_a_catalog() -> None:
    found = catalog_from_items(pa.table({"item_id": ["x"]}))
    assert found.label(0) == "x"
    assert found.item_text(0) == ""


def test_an_empty_catalog_has_no_rows() -> None:
    empty = catalog_from_items(ITEMS.empty_table())
    assert len(empty) == 0
    assert empty.has_text.shape == (0,)
    assert empty.to_table().num_rows == 0


def test_times_of_other_units_are_read_alike() -> None:
    stamps = pa.array([1_500], pa.timestamp("ms", tz="UTC"))
    found = catalog_from_items(pa.table({"item_id": ["x"], "created_at": stamps}))
    assert found.available_from.tolist() == [1.5]
    assert found.to_table()["available_from"].type == TIMESTAMP


def test_rows_of_another_catalog_are_minus_one_where_it_lacks_an_item(catalog: Catalog) -> None:
    assert aligned_rows(["c", "z"], catalog.index).tolist() == [2, -1]


def test_attributes_are_kept_and_one_may_be_asked_for() -> None:
    said = [[("brand", "Acme"), ("colour", None)], None]
    catalog = catalog_from_items(items(item_id=["b", "a"], attributes=said), ["c"])
    assert catalog.attribute("brand") == [None, "Acme", None]
    assert catalog.attributes == [{}, {"brand": "Acme"}, {}]
    again = catalog_from_items(catalog.to_table())
    assert again.attributes == catalog.attributes
    assert catalog_from_items(items(item_id=["a"])).attribute("brand") == [None]
