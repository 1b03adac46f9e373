import pytest

from pipelines.times import parse_time
from recsys.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    ["86400", "86400.0", "8.64e4", "1970-01-02", "1970-01-02T00:00:00Z", "1970-01-02T02:00+02:00"],
)
def test_a_time_is_unix_seconds_or_iso(text: str) -> None:
    assert parse_time(text) == 86_400.0


@pytest.mark.parametrize("text", ["", "nan", "inf", "yesterday", "1970-13-01"])
def test_anything_else_is_a_named_error(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        parse_time(text)
