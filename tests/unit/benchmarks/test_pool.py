from __future__ import annotations

import importlib.util

import pytest

from tests.benchmarks import pool


def test_every_part_is_a_module_and_every_figure_is_told() -> None:
    for name in pool.PARTS:
        assert importlib.util.find_spec(f"tests.benchmarks.pool_parts.{name}") is not None
    assert list(pool.run(["--parts", ""])) == [*pool.FIGURES, "details"]


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pool.run(["--parts", "fold,nothing"])
    assert "unknown: nothing" in capsys.readouterr().err
