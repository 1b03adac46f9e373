"""Load by wrk, which takes little of the machine that it measures."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import ConfigError

SLATE = "/v1/users/u{user}/recommendations?k={k}"

SETUP = """
function init(args)
  math.randomseed({seed})
  wrk.headers["Authorization"] = {key}
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"n": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "n_failed": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""
ASK = """
function request()
  return wrk.format("GET", string.format("{path}", math.random(0, {n_users} - 1)))
end
"""
WRITE = """
local post = {{["Content-Type"] = "application/json"}}
function request()
  local events = {{}}
  for n = 1, {n} do
    events[n] = string.format('{{"user_id":"u%d","item_id":"i%d","kind":"click"}}',
      math.random(0, {n_users} - 1), math.random(0, {n_items} - 1))
  end
  local body = '{{"events":[' .. table.concat(events, ",") .. "]}}"
  post["Authorization"] = wrk.headers["Authorization"]
  return wrk.format("POST", "/v1/events", post, body)
end
"""
PER_POST, N_WRITERS = 100, 100_000


@dataclass(frozen=True)
class Load:
    """What came of a load."""

    n: int
    seconds: float
    p50_ms: float
    p99_ms: float
    n_failed: int

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.n / self.seconds


def wrk() -> str:
    """Where wrk is.

    Raises:
        ConfigError: if it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise ConfigError("wrk", "is not installed", "Install it: apt-get install wrk")
    return found


def slates(
    url: str, n_users: int, seconds: int, k: int = 20, connections: int = 16, key: str | None = None
) -> Load:
    """Ask for users' slates as fast as answers come.

    Args:
        url: before ``/v1``.
        n_users: that are asked for, at random.
        seconds: how long.
        k: length of the slates.
        connections: at once.
        key: of the API; None = none is sent.
    """
    asks = ASK.format(path=_path(url) + SLATE.format(user="%d", k=k), n_users=n_users)
    return _run(asks, url, seconds, connections, key)


def events(
    url: str, n_items: int, seconds: int, connections: int = 16, key: str | None = None
) -> Load:
    """Post events, ``PER_POST`` at a time, of ``N_WRITERS`` users; arguments as of ``slates``."""
    writes = WRITE.format(n=PER_POST, n_users=N_WRITERS, n_items=n_items)
    return _run(writes, url, seconds, connections, key)


def _run(script: str, url: str, seconds: int, connections: int, key: str | None) -> Load:
    told = "nil" if key is None else json.dumps(f"Bearer {key}")
    with tempfile.TemporaryDirectory(prefix="hl-wrk-") as folder:
        file = Path(folder) / "load.lua"
        file.write_text(SETUP.format(seed=17, key=told) + script, encoding="utf-8")
        command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        done = subprocess.run(
            [*command, "-s", str(file), url], capture_output=True, text=True, check=True
        )
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3] if url.count("/") > 2 else ""
