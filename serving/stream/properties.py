"""Properties of librdkafka from a file; their values are secrets and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recsys.errors import ConfigError

OURS = frozenset(
    {
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "metadata.broker.list",
    }
)
"""Exactness rests on these, or an option of the command gives them."""


@dataclass(frozen=True, repr=False)
class KafkaProperties:
    """Name -> value; shown by its names."""

    values: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"KafkaProperties({', '.join(sorted(self.values))})"

    def hide(self, text: str) -> str:
        """A text of librdkafka without any of the values.

        >>> KafkaProperties({"sasl.password": "hunter2"}).hide('Invalid value "hunter2"')
        'Invalid value "***"'
        """
        for value in sorted(self.values.values(), key=len, reverse=True):
            text = text.replace(value, "***") if value else text
        return text


def read_properties(path: str | Path) -> KafkaProperties:
    """Properties of a file with a ``name=value`` a line; ``#`` begins a comment line.

    Raises:
        ConfigError: if it cannot be read, or names what the command decides itself.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--kafka-config {path}", "cannot be read", "Name a text file") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text == "" or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if equals == "" or name.strip() == "":
            raise ConfigError(
                f"--kafka-config {path}, line {number}", "is no property", "Write name=value"
            )
        values[name.strip()] = value.strip()
    _check(path, values)
    return KafkaProperties(values)


def _check(path: str | Path, values: Mapping[str, str]) -> None:
    for name in sorted(OURS & set(values)):
        raise ConfigError(
            f"--kafka-config {path}: {name}",
            "may not be set there",
            "Brokers and group are options of the command; the rest must be as it is for events to "
            "count exactly once",
        )
