"""Processes, ports, settings and the register of what runs."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster import local, processes, registry
from cluster.registry import LocalCluster
from cluster.settings_text import settings_yaml
from pipelines.job import Job
from recsys.errors import ConfigError
from recsys.settings import Settings, load
from recsys.store import Store


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(Store(str(tmp_path / "store")), "sqlite:///none.db", Settings())


FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_whole_family_is_ended_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    tags = [uuid.uuid4().hex, uuid.uuid4().hex]
    pids = [processes.start([sys.executable, "-c", FAMILY], tag, log, os.environ) for tag in tags]
    try:
        deadline = time.monotonic() + 30.0
        while log.read_text().count("ready") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [len(processes.tagged(tag)) for tag in tags] == [2, 2]
        assert processes.is_alive(pids[0], tags[0]) and not processes.is_alive(pids[0], tags[1])
        assert processes.end(pids[0], tags[0], grace_s=0.2) == 2
        assert [len(processes.tagged(tag)) for tag in tags] == [0, 2]
        assert processes.end(pids[0], tags[0], grace_s=0.0) == 0
    finally:
        for pid, tag in zip(pids, tags, strict=True):
            processes.end(pid, tag, grace_s=0.2)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}.*--port"):
            processes.check_port("127.0.0.1", port)
    processes.check_port("127.0.0.1", processes.free_port("127.0.0.1"))


def test_the_printed_settings_read_back_and_explain_every_field(tmp_path: Path) -> None:
    settings = load(assignments=["serving.n_shards=3", "ranking.trend=[1.0, 2.0]"])
    text = settings_yaml(settings)
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    assert load(path) == settings
    n_fields = sum(len(section) for section in yaml.safe_load(text).values())
    assert text.count("  # ") >= n_fields


def test_a_service_is_noted_per_store_and_tenant(job: Job) -> None:
    running = LocalCluster("http://x", job.store.uri, job.tenant, "tag", os.getpid(), "/nowhere")
    registry.write(job, running)
    assert registry.read(job) == running
    assert registry.read(replace(job, tenant="other")) is None
    assert local.find(job) is None, "this process does not carry the tag"
    registry.forget(job)
    registry.forget(job)
    assert registry.read(job) is None


def test_the_note_of_a_copied_store_is_not_believed(job: Job) -> None:
    running = LocalCluster("http://x", "/the/original", job.tenant, "tag", os.getpid(), "/nowhere")
    registry.write(job, running)
    assert registry.read(job) is None


def test_a_spoilt_note_is_no_note(job: Job) -> None:
    path = registry.path_of(job)
    path.parent.mkdir(parents=True)
    path.write_text('{"url": ')
    assert registry.read(job) is None


def test_down_without_up_ends_nothing(job: Job) -> None:
    assert local.down(job) == 0


def test_a_remote_store_keeps_its_note_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HALFLIFE_CACHE", str(tmp_path))
    remote = Job(Store("memory:///x"), "sqlite:///none.db", Settings())
    assert registry.path_of(remote).is_relative_to(tmp_path)
