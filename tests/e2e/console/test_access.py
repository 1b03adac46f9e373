"""The console by keyboard, in both themes, on a phone, without motion; axe-core looks too."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.console.page import DESKTOP, PHONE, NewPage, find, seed, settle
from tests.e2e.console.service import Service


def test_the_keyboard_alone_suffices(page: Page, user: str) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(it) => document.activeElement.matches(it)", selector):
                return
        pytest.fail(f"{selector} is not reached")

    tab_to(".skip")
    tab_to("#user")
    page.keyboard.type(user)
    page.keyboard.press("Enter")
    settle(page)
    tab_to("#offset")
    page.keyboard.press("End")
    expect(page.locator("#slate-title")).to_have_text("Slate in 30 days")
    page.keyboard.press("Home")
    expect(page.locator("#slate-title")).to_have_text("Slate now")
    settle(page)
    tab_to("#items .title")
    outline = "getComputedStyle(document.activeElement, '::after').outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#who-more")).to_contain_text("7 events")
    settle(page)
    assert page.evaluate("document.activeElement.matches('#items .title')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault(
    new_page: NewPage, user: str, scheme: str, size: dict[str, int]
) -> None:
    page = new_page(color_scheme=scheme, viewport=size, reduced_motion="reduce")
    for state in ("welcome", "found", "opened", "problem"):
        if state == "found":
            find(page, user)
            page.get_by_label("Moment shown").press("PageUp")
            settle(page)
        elif state == "opened":
            page.locator("#items summary").first.click()
            page.get_by_text("API key", exact=True).first.click()
        elif state == "problem":
            page.keyboard.press("Escape")
            page.get_by_label("Whose interests?").fill(".")
            page.get_by_role("button", name="Show").click()
            expect(page.get_by_role("alert")).to_contain_text("A browser cannot ask for this id")
        found = Axe().run(page).response["violations"]
        assert [v for v in found if v["impact"] in {"serious", "critical"}] == [], state


def test_the_theme_can_be_chosen_and_is_kept(page: Page, user: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    find(page, user)
    light = page.evaluate(paper)
    page.get_by_role("button", name="Use dark colours").click()
    dark = page.evaluate(paper)
    page.reload()
    assert page.evaluate(paper) == dark != light


def test_a_phone_needs_no_sideways_scrolling(new_page: NewPage, service: Service) -> None:
    page = new_page(viewport=PHONE)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= PHONE["width"]
    user = "x" * 120
    seed(service, user)
    find(page, user)
    page.get_by_label("Moment shown").press("ArrowRight")
    settle(page)
    assert page.evaluate(wide) <= PHONE["width"]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_who_wants_no_motion_gets_none(new_page: NewPage, user: str, motion: str) -> None:
    page = new_page(reduced_motion=motion)
    find(page, user)
    page.evaluate(
        """() => {
          const animate = Element.prototype.animate;
          globalThis.moved = 0;
          Element.prototype.animate = function (...how) {
            moved += 1;
            return animate.apply(this, how);
          };
        }"""
    )
    page.locator("#items .title").first.click()
    expect(page.locator("#who-more")).to_contain_text("7 events")
    settle(page)
    assert (page.evaluate("moved") == 0) == (motion == "reduce")
