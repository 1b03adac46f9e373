"""The console's pictures: ``python -m tests.e2e.console.shots --store STORE --out FOLDER``.

The store is one of ``python -m cluster.demo --zero-shot --exit --store STORE``. The user gets two
evenings of films before the pictures are taken, in a copy of the ledger.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from recsys.archive import Archive
from recsys.bundle import load_bundle
from recsys.schema import DEFAULT_TENANT
from recsys.settings import DAY_S, HOUR_S, Settings
from recsys.store import Store
from tests.e2e.console.browser import browser
from tests.e2e.console.service import application, served

DESKTOP = {"width": 1040, "height": 670}
PHONE = {"width": 390, "height": 844}
EVENINGS = (
    (5.2, ("183", "176", "195", "96")),  # Alien, Aliens, Terminator, Terminator 2
    (1.1, ("71", "99", "588", "432")),  # Lion King, Snow White, Beauty and the Beast, Fantasia
)
"""Days before now, and what the user rated then."""


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--user", default="479")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.db"
        for file in Path(asked.store).glob("ledger.db*"):
            shutil.copy(file, Path(folder) / file.name)
        taken = _take(Store(asked.store), f"sqlite:///{ledger}", asked.user, asked.out)
    print(json.dumps({"pictures": taken}))  # noqa: T201


def _take(store: Store, ledger_url: str, user: str, out: Path) -> dict[str, int]:
    bundle = load_bundle(store, DEFAULT_TENANT)
    manifest = Archive(store).manifest()
    assert manifest is not None and manifest.data_until is not None, "nothing was ingested"
    offset = manifest.data_until + HOUR_S - time.time()
    app, pool = application(bundle, ledger_url, Settings(), lambda: time.time() + offset)
    with served(app, pool) as service, browser() as chromium:
        _watch(service.url, user, time.time() + offset)
        for name, scheme, size in (
            ("desktop-light", "light", DESKTOP),
            ("desktop-dark", "dark", DESKTOP),
            ("phone-light", "light", PHONE),
            ("phone-dark", "dark", PHONE),
        ):
            print(name, file=sys.stderr)  # noqa: T201
            page = _page(chromium, service.url, scheme, size)
            _look(page, user, clicks=1 if name == "desktop-light" else 0)
            page.screenshot(path=out / f"{name}.png")
            page.context.close()
    return {path.name: path.stat().st_size for path in sorted(out.glob("*.png"))}


def _watch(url: str, user: str, now: float) -> None:
    events = [
        {"user_id": user, "item_id": item, "kind": "rating", "value": 5.0, "ts": ts + 600.0 * n}
        for ts, items in ((now - days * DAY_S, items) for days, items in EVENINGS)
        for n, item in enumerate(items)
    ]
    httpx.post(f"{url}/v1/events", json={"events": events}).raise_for_status()


def _page(chromium: Browser, url: str, scheme: Any, size: Any) -> Page:
    page = chromium.new_context(color_scheme=scheme, viewport=size, base_url=url).new_page()
    page.goto("/console")
    return page


def _look(page: Page, user: str, clicks: int) -> None:
    """Find the user, click some items, and go a few days on."""
    page.get_by_label("Whose interests?").fill(user)
    page.get_by_role("button", name="Show").click()
    for place in range(clicks):
        _settle(page)
        page.locator("#items .title").nth(2 + place).click()
    _settle(page)
    for _ in range(10):
        page.get_by_label("Moment shown").press("ArrowRight")
    _settle(page)


def _settle(page: Page) -> None:
    page.wait_for_timeout(300)
    page.wait_for_selector("#found:not([aria-busy]) #items .title")
    page.wait_for_selector("#plot .scatterlayer .js-line")
    page.wait_for_timeout(700)


if __name__ == "__main__":
    main()
