"""The file of librdkafka's properties: read with care, never shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from recsys.errors import ConfigError
from serving.stream.properties import OURS, read_properties
from serving.stream.subscription import Subscription


def write(folder: Path, text: str) -> Path:
    path = folder / "kafka.properties"
    path.write_text(text)
    return path


def test_properties_are_names_and_values(tmp_path: Path) -> None:
    text = "# who\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b #c \r\n"
    properties = read_properties(write(tmp_path, text))
    assert properties.values == {"security.protocol": "SASL_SSL", "sasl.password": "a=b #c"}
    assert pickle.loads(pickle.dumps(properties)) == properties


def test_values_are_shown_nowhere(tmp_path: Path) -> None:
    properties = read_properties(write(tmp_path, "sasl.password=hunter2\nempty=\n"))
    shown = f"{properties} {properties!r} {Subscription('b:1', 't', 'g', properties=properties)}"
    assert "hunter2" not in shown and "sasl.password" in shown
    assert properties.hide("no hunter2 here") == "no *** here"


@pytest.mark.parametrize("text", ["hunter2", "=hunter2", "a=b\nhunter2\n"])
def test_a_broken_line_is_told_by_its_number_alone(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is no property") as caught:
        read_properties(write(tmp_path, text))
    assert f"line {text.count(chr(10)) or 1}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_exactness_rests_on_may_not_be_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="may not be set") as caught:
        read_properties(write(tmp_path, f"{name}=hunter2"))
    assert name in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_properties(tmp_path / "nothing")
