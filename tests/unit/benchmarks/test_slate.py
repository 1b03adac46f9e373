"""Parts of the benchmark ``slate``."""

from __future__ import annotations

import pytest

from recsys.reranking.options import step_names
from tests.benchmarks import slate
from tests.benchmarks.slate_parts import rerank


def test_every_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank, "N_ITEMS", 600)
    found = rerank.run(rounds=2)
    assert set(found["step_p50_ms"]) == set(step_names())
    assert 0.0 < found["rerank_p50_ms"] < found["rerank_p99_ms"] + 1e-9


def test_every_figure_is_told_and_an_unknown_part_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(slate.run(["--parts", ""])) == [*slate.FIGURES, "details"]
    with pytest.raises(SystemExit):
        slate.run(["--parts", "rules,nothing"])
    assert "unknown: nothing" in capsys.readouterr().err
