"""API keys: files of hashes, and the command that writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from recsys.errors import ConfigError, NotFoundError
from serving.auth.keys import KeyEntry, KeyRing, add_key, end_key, read_keys
from serving.keys import app

NOW = 1_700_000_000.0


def added(path: Path, **more: Any) -> str:
    fields: dict[str, Any] = {"tenant": "default", "scopes": ["recommend"], "name": "shop"}
    fields |= {"created_at": NOW, **more}
    return add_key(path, lambda key_id, sha256: KeyEntry(id=key_id, sha256=sha256, **fields))


def id_of(key: str) -> str:
    return key.split("_")[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_opens_what_it_was_made_for(path: Path) -> None:
    key = added(path, scopes=["recommend", "ingest"], tenant="shop", requests_per_s=5.0)
    caller = KeyRing(path, lambda: NOW).caller(key)
    assert caller is not None
    assert caller.name == f"key:{id_of(key)}" and caller.tenant == "shop"
    assert caller.scopes == {"recommend", "ingest"} and caller.requests_per_s == 5.0


def test_the_file_has_no_secret_and_is_its_users_alone(path: Path) -> None:
    key = added(path)
    secret = key.split("_", 2)[2]
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_another_secret_or_id_opens_nothing(path: Path) -> None:
    one, other = added(path), added(path)
    ring = KeyRing(path, lambda: NOW)
    swapped = f"hl_{id_of(one)}_{other.split('_', 2)[2]}"
    unknown = f"hl_{'0' * 12}_{one.split('_', 2)[2]}"
    for wrong in (swapped, unknown, one[:-1], one + "A", one.upper(), "", "hl_", f" {one}"):
        assert ring.caller(wrong) is None


def test_a_key_ends_when_it_says(path: Path) -> None:
    key, now = added(path, expires_at=NOW + 10), [NOW]
    ring = KeyRing(path, lambda: now[0])
    assert ring.caller(key) is not None
    now[0] += 10
    assert ring.caller(key) is None


def test_keys_come_and_go_while_the_ring_is_used(path: Path) -> None:
    first = added(path)
    ring = KeyRing(path, lambda: NOW)
    second = added(path)
    assert ring.caller(second) is None
    ring.refresh()
    assert ring.caller(first) is not None and ring.caller(second) is not None
    end_key(path, id_of(first), NOW)
    ring.refresh()
    assert ring.caller(first) is None and ring.caller(second) is not None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format_version": 2, "keys": []}', '{"keys": [{"id": "x"}]}']
)
def test_a_broken_file_is_an_error_and_the_old_keys_go_on(path: Path, content: str) -> None:
    key = added(path)
    ring = KeyRing(path, lambda: NOW)
    path.write_text(content)
    with pytest.raises(ConfigError, match="no file of keys"):
        ring.refresh()
    assert ring.caller(key) is not None
    with pytest.raises(ConfigError):
        KeyRing(path, lambda: NOW)


def test_without_a_file_there_is_no_ring(path: Path) -> None:
    with pytest.raises(ConfigError, match="create"):
        KeyRing(path, lambda: NOW)


def test_an_end_is_never_put_off(path: Path) -> None:
    key = id_of(added(path, expires_at=NOW + 5))
    assert end_key(path, key, NOW + 10).expires_at == NOW + 5
    assert end_key(path, key, NOW + 1).expires_at == NOW + 1
    with pytest.raises(NotFoundError):
        end_key(path, "0" * 12, NOW)


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, list(words))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout


def test_the_command_makes_lists_rotates_and_revokes(path: Path) -> None:
    file = str(path)
    options = ("--scope", "recommend", "--name", "shop", "--rate", "50", "--days", "2")
    status, key = run("create", file, *options)
    assert status == 0
    (listed,) = json.loads(run("list", file, "--json")[1])
    assert listed["name"] == "shop" and listed["requests_per_s"] == 50.0
    assert "sha256" not in listed
    assert "shop" in run("list", file)[1]

    _, fresh = run("rotate", file, id_of(key), "--grace", "0")
    entries = {entry.id: entry for entry in read_keys(path).keys}
    assert entries[id_of(fresh)].scopes == entries[id_of(key)].scopes == ["recommend"]
    assert entries[id_of(fresh)].requests_per_s == 50.0
    assert KeyRing(path, lambda: NOW + 1e10).caller(key.strip()) is None

    run("revoke", file, id_of(fresh))
    assert KeyRing(path, lambda: 1e11).caller(fresh.strip()) is None


def test_the_command_refuses_what_is_unknown(path: Path) -> None:
    with pytest.raises(ConfigError, match="everything"):
        run("create", str(path), "--scope", "everything")
    added(path)
    for name in ("rotate", "revoke"):
        with pytest.raises(NotFoundError):
            run(name, str(path), "0" * 12)
