"""The machine's own Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = (
    "The console's tests need Chromium: `make chromium`, or as root "
    "`apt-get install --no-install-recommends chromium`"
)


def chromium() -> str:
    """The path of the browser.

    Raises:
        RuntimeError: if there is none.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise RuntimeError(REMEDY)
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser while the block lasts."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield launched
        finally:
            launched.close()
