import io
import json
import logging
from collections.abc import Iterator

import pytest

from recsys import logs


@pytest.fixture(autouse=True)
def root_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_one_json_object_per_line_with_its_fields() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logging.getLogger("hl.test").info("read %s", "é", extra={"took_ms": 1.5})
    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["took_ms"]) == ("read é", "info", 1.5)
    assert line["logger"] == "hl.test"


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    try:
        raise ValueError("of no use")
    except ValueError:
        logging.getLogger("hl.test").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "of no use" in json.loads(line)["exception"]


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    logs.configure(stream=stream)
    logging.getLogger("hl.test").warning("low on %s", "space")
    assert stream.getvalue() == "W hl.test: low on space\n"


def test_what_is_below_the_level_is_silent() -> None:
    stream = io.StringIO()
    logs.configure(logging.WARNING, stream)
    logging.getLogger("hl.test").info("detail")
    assert stream.getvalue() == ""
