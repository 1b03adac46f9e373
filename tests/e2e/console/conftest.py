"""The console over a tiny store, and pages that must not complain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from recsys.archive import create_store
from recsys.settings import DAY_S, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from tests.e2e.console.browser import browser
from tests.e2e.console.page import DESKTOP, NewPage, seed
from tests.e2e.console.service import Service, application, served

HOSTILE = "<img/src=x/onerror=hacked=1>"
TEXTS = {
    **{f"space-{n}": f"rocket-{n} stars orbit planets moon{n}" for n in range(12)},
    **{f"food-{n}": f"pasta-{n} garlic bread sauce dish{n}" for n in range(12)},
    "evil": f"{HOSTILE} garlic bread sauce dish",
}
NEVER_MS = 10_000


@pytest.fixture(scope="session")
def hostile() -> str:
    """The title of one item, which is also the label of an interest."""
    return HOSTILE


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("console")
    settings = load(assignments=["encoder.n_dims=8", "data.n_partitions=4"])
    store = Store(str(folder / "store"))
    create_store(store, 4)
    bundle = tiny_bundle(store, tiny_items(TEXTS), time.time() - DAY_S, settings)
    with served(*application(bundle, f"sqlite:///{folder}/ledger.db", settings, time.time)) as it:
        yield it


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=NEVER_MS)
    with browser() as found:
        yield found


@pytest.fixture
def complaints() -> list[str]:
    """What the browser had to say, and requests that left the origin; empty at each test's end."""
    return []


@pytest.fixture
def new_page(chromium: Browser, service: Service, complaints: list[str]) -> Iterator[NewPage]:
    contexts = []

    def make(**more: Any) -> Page:
        options = {"viewport": DESKTOP, "base_url": service.url, **more}
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(NEVER_MS)
        origin = urlsplit(service.url).netloc

        def sent(request: Any) -> None:
            if urlsplit(request.url).netloc != origin:
                complaints.append(f"left the origin: {request.url}")

        def said(message: Any) -> None:
            if message.type in {"error", "warning"}:
                complaints.append(message.text)

        page.on("request", sent)
        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/console")
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture
def user(service: Service, request: pytest.FixtureRequest) -> str:
    """Somebody who has liked food for days, and turned to space an hour ago."""
    user = f"user of {request.node.name}"
    seed(service, user)
    return user
