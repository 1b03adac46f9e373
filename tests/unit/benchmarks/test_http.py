"""The benchmark over HTTP: what it needs, and what it makes of what wrk says."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from recsys.errors import ConfigError
from tests.benchmarks import http
from tests.benchmarks.http_parts import load


def test_without_wrk_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="apt-get install wrk"):
        http.run([])


def test_what_wrk_says_is_read_and_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def wrk(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        with open(command[command.index("-s") + 1], encoding="utf-8") as file:
            seen["script"] = file.read()
        seen["url"] = command[-1]
        said = '{"n": 300, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 9.0, "n_failed": 0}'
        return subprocess.CompletedProcess(command, 0, f"Running 2s test\n{said}\n")

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/wrk")
    monkeypatch.setattr(subprocess, "run", wrk)
    found = load.slates("http://here:1/noop", n_users=7, seconds=2, k=3, key="hl_x")
    assert found.per_s == 150.0 and found.p99_ms == 9.0
    assert '"/noop/v1/users/u%d/recommendations?k=3", math.random(0, 7 - 1)' in seen["script"]
    assert '"Bearer hl_x"' in seen["script"] and seen["url"] == "http://here:1/noop"
    load.events("http://here:1", n_items=5, seconds=2)
    assert f"for n = 1, {load.PER_POST} do" in seen["script"]
    assert 'wrk.headers["Authorization"] = nil' in seen["script"]
