"""What a person does on the console's page, and reads there."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page

from recsys.settings import DAY_S
from tests.e2e.console.service import Service

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}

NewPage = Callable[..., Page]
"""Opens the console; its arguments are those of a browser context."""


def seed(service: Service, user: str) -> None:
    now = time.time()
    past = [("food", n, now - (6 - n) * DAY_S) for n in range(3)]
    past += [("space", n, now - 3_600.0 - n) for n in range(3)]
    events = [
        {"user_id": user, "item_id": f"{topic}-{n}", "kind": "like", "ts": ts}
        for topic, n, ts in past
    ]
    reply = httpx.post(f"{service.url}/v1/events", json={"events": events})
    assert reply.status_code == 202 and reply.json()["accepted"] == 6


def find(page: Page, user: str) -> None:
    page.get_by_label("Whose interests?").fill(user)
    page.get_by_role("button", name="Show").click()
    settle(page)


def settle(page: Page) -> None:
    page.wait_for_selector("#found:not([aria-busy]) #items .title")


def weights(page: Page) -> dict[str, float]:
    """Label -> weight that the page shows."""
    rows = page.locator("#weights tbody tr")
    return {
        row.locator(".label").inner_text(): float(row.get_attribute("data-weight") or "nan")
        for row in rows.all()
    }


def slate(page: Page) -> list[str]:
    return page.locator("#items .title").all_inner_texts()


def scores(page: Page) -> list[str]:
    return page.locator("#items summary").all_inner_texts()
