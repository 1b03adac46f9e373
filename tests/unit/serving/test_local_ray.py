"""The note of a local service's Ray: found by its user's commands for as long as it runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from recsys.errors import ConfigError, UnavailableError
from recsys.notes import note_path
from recsys.store import Store
from serving import consume, local_ray
from serving.local_ray import LocalRay, find, noted
from serving.pool.processes import this_process


def path_of(store: Store) -> Path:
    return note_path(store, "default", local_ray.NOTE, Path("unused"))


def rewrite(store: Store, /, **changed: str) -> None:
    running = LocalRay(**json.loads(path_of(store).read_text(encoding="utf-8")))
    path_of(store).write_text(json.dumps(asdict(replace(running, **changed))), encoding="utf-8")


def test_what_is_noted_is_found_until_it_ends(store: Store) -> None:
    assert find(store, "default") is None
    with noted(store, "default", "10.0.0.1:6379", "secret"):
        found = find(store, "default")
        assert found is not None and found.address == "10.0.0.1:6379"
        assert found.environment({"A": "b"}) == {
            "A": "b",
            "RAY_ADDRESS": "10.0.0.1:6379",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "secret",
        }
        assert find(store, "other") is None
        assert path_of(store).stat().st_mode & 0o077 == 0, "the token is its user's alone"
        assert "secret" not in repr(found)
    assert find(store, "default") is None and not path_of(store).exists()


def test_the_note_of_a_process_that_is_gone_counts_as_none(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        mark = this_process("", 0.0).process.replace(f"/{os.getpid()}/", f"/{gone.pid}/")
    with noted(store, "default", "10.0.0.1:6379", ""):
        rewrite(store, process=mark)
        assert find(store, "default") is None


def test_a_copied_store_does_not_bring_the_service_of_its_original(store: Store) -> None:
    with noted(store, "default", "10.0.0.1:6379", ""):
        rewrite(store, store="/elsewhere")
        assert find(store, "default") is None


def test_a_service_of_another_machine_is_refused_with_what_to_do(store: Store) -> None:
    with noted(store, "default", "10.0.0.1:6379", ""):
        rewrite(store, host="other-machine")
        with pytest.raises(ConfigError, match=r"other-machine.*Run this command there"):
            find(store, "default")


def test_a_torn_note_counts_as_none(store: Store) -> None:
    with noted(store, "default", "10.0.0.1:6379", ""):
        path_of(store).write_text('{"address": "10', encoding="utf-8")
        assert find(store, "default") is None


def test_a_remote_store_is_noted_in_the_users_cache(tmp_path: Path) -> None:
    remote = Store.__new__(Store)
    remote.uri, remote.root = "s3://bucket/shop", None
    assert note_path(remote, "t", "ray.json", tmp_path).parent == tmp_path / "local"


class Restarted(BaseException):
    """The process is another program now."""


def test_consume_starts_over_on_the_ray_of_the_local_service(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, list[str], dict[str, str]]] = []

    def execve(*arguments: object) -> None:
        started.append(arguments)  # type: ignore[arg-type]
        raise Restarted

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    consume._join_local(store, "default")
    with socket.create_server(("127.0.0.1", 0)) as ray:
        address = f"127.0.0.1:{ray.getsockname()[1]}"
        with noted(store, "default", address, "secret"), pytest.raises(Restarted):
            consume._join_local(store, "default")
    program, arguments, environ = started[0]
    assert program == sys.executable and arguments == sys.orig_argv
    assert (environ["RAY_ADDRESS"], environ["RAY_AUTH_TOKEN"]) == (address, "secret")
    with noted(store, "default", address, "secret"):
        with pytest.raises(UnavailableError, match=r"cluster\.local status"):
            consume._join_local(store, "default")
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        consume._join_local(store, "default")
    assert len(started) == 1


def test_without_any_ray_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ConfigError, match=r"cluster\.local up"), consume._ray(owns_pool=False):
        pass


def test_a_ray_that_refuses_us_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with (
        pytest.raises(UnavailableError, match=r"10\.0\.0\.1:6379.*RAY_AUTH_TOKEN"),
        consume._ray(owns_pool=False),
    ):
        pass
