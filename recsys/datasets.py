"""Public logs as canonical tables: pure conversions, no download.

MovieLens-100K exists in two shapes, the official archive and the copy inside the ``recbole`` wheel.
Both are brought to the same raw rows first, so that their canonical tables are equal bit for bit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DataError
from recsys.schema import DEFAULT_TENANT, EVENTS, ITEMS, TIMESTAMP, USERS

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""Genres of MovieLens-100K, in the order of the flags of its official item file."""

_YEAR = re.compile(r"\((\d{4})\)")


@dataclass(frozen=True)
class CanonicalTables:
    """One log in the columns of ``recsys.schema``."""

    events: pa.Table
    items: pa.Table
    users: pa.Table

    def fingerprint(self) -> str:
        """SHA-256 of the contents: the same for every source, file format and library version."""
        digest = hashlib.sha256()
        for table in (self.events, self.items, self.users):
            for name in table.column_names:
                column = table[name]
                if pa.types.is_timestamp(column.type):
                    column = column.cast(pa.int64())  # how a time zone prints depends on versions
                digest.update(f"{name}={column.to_pylist()!r}\n".encode())
        return digest.hexdigest()


def canonical(schema: pa.Schema, n_rows: int, **columns: Any) -> pa.Table:
    """A table of a canonical schema; columns that are not given are null, the tenant is default.

    Args:
        schema: ``EVENTS``, ``ITEMS`` or ``USERS``.
        n_rows: its number of rows.
        **columns: arrays or lists of that length, by column name.
    """
    columns.setdefault("tenant", pa.repeat(DEFAULT_TENANT, n_rows))
    arrays = [
        pa.nulls(n_rows, field.type)
        if columns.get(field.name) is None
        else _cast(columns[field.name], field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def movielens_100k_of_wheel(inter: bytes, item: bytes, user: bytes) -> CanonicalTables:
    """MovieLens-100K from the three tab-separated files of the ``recbole`` wheel.

    Raises:
        DataError: if a row has another number of fields.
    """
    ratings = _fields(inter, "\t", 4, "ml-100k.inter", header=True)
    films = [
        (row[0], "unknown" if row[1] == "unkonwn" else f"{row[1]} ({row[2]})", row[3].split())
        for row in _fields(item, "\t", 4, "ml-100k.item", header=True)
    ]
    return _movielens(ratings, films, _fields(user, "\t", 5, "ml-100k.user", header=True))


def movielens_100k_of_archive(data: bytes, item: bytes, user: bytes) -> CanonicalTables:
    """MovieLens-100K from ``u.data``, ``u.item`` and ``u.user`` of the official archive.

    Raises:
        DataError: if a row has another number of fields.
    """
    films = [
        (row[0], row[1], [g for g, flag in zip(GENRES, row[5:], strict=True) if flag == "1"])
        for row in _fields(item, "|", 5 + len(GENRES), "u.item", encoding="latin-1")
    ]
    return _movielens(_fields(data, "\t", 4, "u.data"), films, _fields(user, "|", 5, "u.user"))


def complete_journey(
    transactions: pa.Table, products: pa.Table, demographics: pa.Table
) -> CanonicalTables:
    """The Complete Journey: a year of grocery purchases of 2,469 households.

    A purchase's value is its sales value in dollars, its session is the basket. The shop's clock is
    taken as UTC. Products that were sold but stand in no product list have no item row.
    """
    n = transactions.num_rows
    basket, product = _text(transactions["basket_id"]), _text(transactions["product_id"])
    ts = pc.assume_timezone(transactions["transaction_timestamp"].cast(pa.timestamp("us")), "UTC")
    events = canonical(
        EVENTS,
        n,
        event_id=pc.binary_join_element_wise(basket, product, "-"),
        user_id=_text(transactions["household_id"]),
        item_id=product,
        kind=pa.repeat("purchase", n),
        ts=ts,
        seq=np.arange(n),
        ingested_at=ts,
        value=transactions["sales_value"],
        session_id=basket,
    )
    return CanonicalTables(events, _products(products.to_pylist()), _households(demographics))


def _products(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    kept = ("brand", "package_size", "manufacturer_id")
    return canonical(
        ITEMS,
        len(rows),
        item_id=[str(row["product_id"]) for row in rows],
        title=[_product_title(row) for row in rows],
        text=[_product_text(row) for row in rows],
        categories=[_present([row["department"], row["product_category"]]) for row in rows],
        attributes=[_attributes(row, kept) for row in rows],
    )


def _product_title(row: Mapping[str, Any]) -> str:
    name = _present([row["product_type"], row["product_category"], row["department"]])[0]
    return ", ".join(_present([name.title(), row["package_size"]]))


def _product_text(row: Mapping[str, Any]) -> str:
    category = (row["product_category"] or "").lower() or None
    parts = [category, f"{row['department'].lower()} department", f"{row['brand'].lower()} brand"]
    return ", ".join(_present(parts))


def _households(demographics: pa.Table) -> pa.Table:
    rows = demographics.to_pylist()
    kept = [name for name in demographics.column_names if name != "household_id"]
    return canonical(
        USERS,
        len(rows),
        user_id=[str(row["household_id"]) for row in rows],
        attributes=[_attributes(row, kept) for row in rows],
    )


def _movielens(
    ratings: Sequence[Sequence[str]],
    films: Sequence[tuple[str, str, list[str]]],
    people: Sequence[Sequence[str]],
) -> CanonicalTables:
    user, item, value, seconds = (
        zip(*ratings, strict=True) if len(ratings) > 0 else ((), (), (), ())
    )
    ts = pa.array(np.array(seconds, dtype=np.float64).astype(np.int64) * 1_000_000).cast(TIMESTAMP)
    events = canonical(
        EVENTS,
        len(ratings),
        event_id=[f"ml-100k-{row}" for row in range(len(ratings))],
        user_id=user,
        item_id=item,
        kind=["rating"] * len(ratings),
        ts=ts,
        seq=np.arange(len(ratings)),
        ingested_at=ts,
        value=np.array(value, dtype=np.float64),
    )
    names = ("age", "gender", "occupation", "zip_code")
    users = canonical(
        USERS,
        len(people),
        user_id=[row[0] for row in people],
        attributes=[list(zip(names, row[1:], strict=True)) for row in people],
    )
    return CanonicalTables(events, _films(films), users)


def _films(films: Sequence[tuple[str, str, list[str]]]) -> pa.Table:
    titles = [" ".join(title.split()) for _, title, _ in films]
    years = [_YEAR.findall(title)[-1:] for title in titles]
    genres = [[g for g in GENRES[1:] if g in found] for _, _, found in films]
    texts = [
        ", ".join(
            ([f"Genres: {', '.join(some)}"] if some else []) + [f"released {y}" for y in year]
        )
        for some, year in zip(genres, years, strict=True)
    ]
    return canonical(
        ITEMS,
        len(films),
        item_id=[item_id for item_id, _, _ in films],
        title=titles,
        text=[text or None for text in texts],
        categories=genres,
        attributes=[[("release_year", y) for y in year] for year in years],
    )


def _fields(
    data: bytes,
    separator: str,
    n_fields: int,
    name: str,
    *,
    header: bool = False,
    encoding: str = "utf-8",
) -> list[list[str]]:
    lines = data.decode(encoding).replace("\r\n", "\n").split("\n")[1 if header else 0 :]
    rows = [line.split(separator) for line in lines if line]
    for number, row in enumerate(rows, start=2 if header else 1):
        if len(row) != n_fields:
            raise DataError(f"{name}, line {number}", f"has {len(row)} fields, not {n_fields}")
    return rows


def _cast(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, type=kind)


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _present(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _attributes(row: Mapping[str, Any], names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, str(row[name])) for name in names if row[name] is not None]
