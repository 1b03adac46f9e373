"""API keys: ``python -m serving.keys create|list|rotate|revoke FILE``."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from recsys.errors import ConfigError, NotFoundError, RecsysError
from recsys.schema import DEFAULT_TENANT
from serving.auth.callers import SCOPES, Scope
from serving.auth.keys import KeyEntry, add_key, end_key, read_keys

DAY_S = 86_400.0

app = typer.Typer(
    help="API keys of the service: a file of hashes, for `serving.auth.keys_file`. Replicas read "
    "it anew when it changes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

FileArgument = Annotated[Path, typer.Argument(help="The file of keys.", dir_okay=False)]
IdArgument = Annotated[str, typer.Argument(help="Id of the key; `list` shows it.")]


@app.command()
def create(
    file: FileArgument,
    scope: Annotated[
        list[str], typer.Option(help=f"What it may; several times. One of {', '.join(SCOPES)}.")
    ],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose data it opens.")] = DEFAULT_TENANT,
    days: Annotated[float | None, typer.Option(help="Days that it lasts.", min=0)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second, over all replicas.", min=1e-3)
    ] = None,
) -> None:
    """Make a key and print it, once: the file has its hash only.

    Example: python -m serving.keys create keys.json --scope recommend --scope ingest --name shop
    """
    unknown = sorted(set(scope) - set(SCOPES))
    if unknown:
        raise ConfigError(f"scope {unknown[0]}", "is unknown", f"One of {', '.join(SCOPES)}")
    now = time.time()
    until = None if days is None else now + days * DAY_S

    def entry(key_id: str, sha256: str) -> KeyEntry:
        return KeyEntry(
            id=key_id,
            sha256=sha256,
            tenant=tenant,
            scopes=cast(list[Scope], list(dict.fromkeys(scope))),
            name=name,
            created_at=now,
            expires_at=until,
            requests_per_s=rate,
        )

    sys.stdout.write(add_key(file, entry) + "\n")


@app.command("list")
def list_keys(
    file: FileArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the keys, without what is secret."""
    keys, now = read_keys(file).keys, time.time()
    if as_json:
        shown = [key.model_dump(exclude={"sha256"}) for key in keys]
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    table = Table("id", "name", "tenant", "scopes", "requests/s", "since", "until")
    for key in keys:
        rate = "" if key.requests_per_s is None else f"{key.requests_per_s:g}"
        ends = "" if key.expires_at is None else _moment(key.expires_at)
        is_over = key.expires_at is not None and key.expires_at <= now
        about = (key.id, key.name, key.tenant, " ".join(key.scopes), rate, _moment(key.created_at))
        table.add_row(*about, f"{ends} (over)" if is_over else ends, style="dim" if is_over else "")
    Console().print(table)


@app.command()
def rotate(
    file: FileArgument,
    key: IdArgument,
    grace: Annotated[float, typer.Option(help="Hours that the old one still counts.", min=0)] = 24,
) -> None:
    """Make a key that may what another may, and let that one end; both count meanwhile."""
    old = next((one for one in read_keys(file).keys if one.id == key), None)
    if old is None:
        remedy = "`python -m serving.keys list` names all"
        raise NotFoundError(f"key {key}", "does not exist", remedy)
    now = time.time()

    def entry(key_id: str, sha256: str) -> KeyEntry:
        return old.model_copy(update={"id": key_id, "sha256": sha256, "created_at": now})

    made = add_key(file, entry)
    ended = end_key(file, key, now + 3_600.0 * grace)
    console.print(f"{key} counts until {_moment(ended.expires_at or now)}", highlight=False)
    sys.stdout.write(made + "\n")


@app.command()
def revoke(file: FileArgument, key: IdArgument) -> None:
    """Let a key end now."""
    end_key(file, key, time.time())
    console.print(f"{key} is over", highlight=False)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def main() -> None:
    """Run the command line; an error of ours is a sentence and exit status 2."""
    try:
        app()
    except RecsysError as error:
        console.print(f"[red]error[/] {error}", highlight=False)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
