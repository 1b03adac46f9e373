"""The console in a real browser, over the application without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from recsys.archive import create_store
from recsys.errors import UnavailableError
from recsys.settings import DAY_S, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from tests.e2e.console.browser import browser
from tests.e2e.console.service import Service, application, served

HOSTILE = "<img/src=x/onerror=hacked=1>"
ODD_USER = 'a/b?c=%2F&"><script>hacked=1</script> ü#'
TEXTS = {
    **{f"space-{n}": f"rocket-{n} stars orbit planets moon{n}" for n in range(12)},
    **{f"food-{n}": f"pasta-{n} garlic bread sauce dish{n}" for n in range(12)},
    "evil": f"{HOSTILE} garlic bread sauce dish",
}
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
NEVER_MS = 10_000

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("console")
    settings = load(assignments=["encoder.n_dims=8", "data.n_partitions=4"])
    store = Store(str(folder / "store"))
    create_store(store, 4)
    bundle = tiny_bundle(store, tiny_items(TEXTS), time.time() - DAY_S, settings)
    with served(*application(bundle, f"sqlite:///{folder}/ledger.db", settings, time.time)) as it:
        yield it


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
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


def refuse(route: Route, status: int, **told: str) -> None:
    problem = {"type": "about:blank", "status": status, **told}
    route.fulfill(status=status, json=problem, content_type="application/problem+json")


def test_the_first_paint_comes_within_a_second(page: Page) -> None:
    page.wait_for_function("performance.getEntriesByType('paint').length > 0")
    paints = page.evaluate("performance.getEntriesByType('paint').map((p) => p.startTime)")
    assert 0.0 < min(paints) <= max(paints) < 1_000.0


def test_a_user_is_found_with_curves_weights_and_reasons(page: Page, user: str) -> None:
    expect(page.get_by_role("heading", name="Interest fades. Watch it.")).to_be_visible()
    find(page, user)
    expect(page.get_by_role("heading", name=user)).to_be_visible()
    expect(page.locator("#who-more")).to_have_text("6 events, the last 1 hour ago")
    expect(page.locator("#plot .scatterlayer .js-line")).to_have_count(len(weights(page)))
    assert len(slate(page)) == 10 and all(weight > 0.0 for weight in weights(page).values())
    expect(page.get_by_text("Because you liked").first).to_be_visible()
    page.locator("#items summary").first.click()
    expect(page.locator("#items dl").first).to_contain_text("interest")


def test_the_curves_are_what_the_service_says_later_and_said_before(
    page: Page, service: Service, user: str
) -> None:
    path = f"/v1/users/{quote(user, safe='')}/interests"
    now = httpx.get(service.url + path).json()
    for days in (0.5, 3.0, 40.0):
        as_of = now["as_of"] + days * DAY_S
        later = httpx.get(service.url + path, params={"as_of": as_of}).json()
        drawn = page.evaluate(
            """async ([reply, t]) => {
              const { curveOf } = await import("/console/curves.js");
              return reply.interests.map((one) => [one.label, curveOf(one, reply).at(t)]);
            }""",
            [now, as_of],
        )
        said = {one["label"]: one["weight"] for one in later["interests"]}
        assert dict(drawn) == pytest.approx(said, rel=1e-9)
    some = max(now["interests"], key=lambda one: len(one["events"]))
    first, *_, last = sorted(event["ts"] for event in some["events"])
    before, between, after = page.evaluate(
        """async ([reply, one, moments]) => {
          const { curveOf } = await import("/console/curves.js");
          return moments.map((t) => curveOf(one, reply).at(t));
        }""",
        [now, some, [first - 60.0, first, last]],
    )
    assert before == 0.0
    assert between == pytest.approx(some["events"][-1]["importance"], rel=1e-6)
    assert after > between


def test_moving_into_the_future_fades_interests_and_changes_the_slate(
    page: Page, user: str
) -> None:
    find(page, user)
    before, told = weights(page), scores(page)
    slider = page.get_by_label("Moment shown")
    slider.focus()
    for _ in range(40):
        slider.press("ArrowRight")
    expect(page.locator("#slate-title")).to_have_text("Slate in 10 days")
    expect(slider).to_have_attribute(
        "aria-valuetext",
        page.locator("#when").inner_text() + ", " + page.locator("#when-date").inner_text(),
    )
    expect(page.locator("#live")).to_contain_text("in 10 days")
    settle(page)
    after = weights(page)
    assert set(after) == set(before) and all(after[label] < before[label] for label in before)
    assert scores(page) != told
    page.get_by_role("button", name="Back to now").click()
    expect(page.locator("#slate-title")).to_have_text("Slate now")


def test_the_line_is_dragged_on_the_chart(page: Page, user: str) -> None:
    find(page, user)
    expect(page.locator("#plot .js-line").first).to_be_visible()
    box = page.locator("#plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 100, steps=5)
    page.mouse.up()
    moved = page.locator("#when").inner_text()
    assert moved.startswith("in 2") and moved.endswith("days")
    expect(page.locator("#slate-title")).to_have_text(f"Slate {moved}")
    line = page.locator("#cursor").bounding_box()
    assert line is not None
    assert line["x"] == pytest.approx(box["x"] + 0.8 * box["width"], abs=6.0)


def test_a_click_posts_an_event_and_both_move(page: Page, user: str) -> None:
    find(page, user)
    before, first = weights(page), page.locator("#items .title").first.inner_text()
    with page.expect_request("**/v1/events") as sent:
        page.locator("#items .title").first.click()
    event = sent.value.post_data_json
    assert event["user_id"] == user and event["kind"] == "click" and event["rank"] == 1
    assert event["request_id"] and event["event_id"]
    expect(page.locator("#who-more")).to_contain_text("7 events, the last just now")
    settle(page)
    assert first not in slate(page)
    assert max(weights(page).values()) > max(before.values())
    page.get_by_label("A click sends").select_option("dislike")
    with page.expect_request("**/v1/events") as sent:
        page.get_by_role("button", name="dislike").first.click()
    assert sent.value.post_data_json["kind"] == "dislike"
    expect(page.locator("#who-more")).to_contain_text("8 events")


def test_after_an_event_the_slate_is_asked_for_by_its_version(page: Page, user: str) -> None:
    find(page, user)
    with (
        page.expect_response("**/v1/events") as posted,
        page.expect_request("**min_version=**") as asked,
    ):
        page.locator("#items .title").first.click()
    assert f"min_version={quote(posted.value.json()['version'], safe='')}" in asked.value.url
    settle(page)


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


def test_data_is_text_whatever_it_says(page: Page, service: Service) -> None:
    seed(service, ODD_USER)
    find(page, ODD_USER)
    expect(page.locator("#who")).to_have_text(ODD_USER)
    page.get_by_label("A click sends").select_option("play")
    for _ in range(20):
        if HOSTILE in slate(page):
            break
        count = int(page.locator("#who-more").inner_text().split()[0])
        page.get_by_role("button", name="play pasta").first.click()
        expect(page.locator("#who-more")).to_contain_text(f"{count + 1} events")
        settle(page)
    page.get_by_role("button", name=f"play {HOSTILE}").click()
    expect(page.locator("#weights")).to_contain_text(HOSTILE)
    settle(page)
    assert page.locator("#found img").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"
    find(page, "somebody else")
    page.get_by_role("navigation").get_by_role("button", name=ODD_USER).click()
    expect(page.locator("#who")).to_have_text(ODD_USER)


def test_a_stranger_gets_what_is_trending_and_is_told_so(page: Page) -> None:
    find(page, "a stranger")
    expect(page.locator("#who-more")).to_have_text("Nothing is known yet")
    expect(page.locator("#slate-note")).to_contain_text("this is what is trending")
    expect(page.locator("#weights")).to_contain_text("Click an item")


def test_a_visitor_gets_slates_and_leaves_nothing(page: Page, service: Service) -> None:
    page.get_by_role("button", name="Look around as a visitor").click()
    settle(page)
    expect(page.locator("#slate-note")).to_contain_text("this is what is trending")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    page.get_by_role("button", name="click pasta").first.click()
    expect(page.locator("#who-more")).to_contain_text("1 event, the last just now")
    settle(page)
    expect(page.get_by_text("Because you opened").first).to_be_visible()
    told = scores(page)
    page.get_by_label("Moment shown").press("End")
    expect(page.locator("#slate-title")).to_have_text("Slate in 30 days")
    settle(page)
    assert scores(page) != told
    assert set(asked) == {f"POST {service.url}/v1/recommendations"}
    assert page.evaluate("sessionStorage.length") == 0


def test_an_error_is_shown_with_its_remedy(
    page: Page, service: Service, user: str, complaints: list[str]
) -> None:
    find(page, user)
    service.pool.error = UnavailableError("profiles", "are away", "Wait for the shard")
    page.get_by_label("Whose interests?").press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Service Unavailable (503)")
    expect(alert.locator(".remedy")).to_have_text("Wait for the shard")
    service.pool.error = None
    alert.get_by_role("button", name="Try again").click()
    settle(page)
    expect(alert).to_be_empty()
    assert [text for text in complaints if "503" not in text] == []
    complaints.clear()  # the browser itself tells of each 503


def test_a_refused_id_is_explained(page: Page, complaints: list[str]) -> None:
    page.get_by_label("Whose interests?").fill("x" * 5_000)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert").locator(".remedy")).to_contain_text("are allowed")
    expect(page.locator("#found")).to_be_hidden()
    assert all("422" in text for text in complaints)
    complaints.clear()


def test_a_key_is_asked_for_sent_and_kept(page: Page, user: str, complaints: list[str]) -> None:
    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer k-1":
            route.continue_()
        else:
            refuse(route, 401, title="Unauthorized", detail="key: is missing. Send one")

    page.route("**/v1/**", guard)
    page.get_by_label("Whose interests?").fill(user)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("alert").get_by_role("button", name="Enter an API key").click()
    page.keyboard.type("k-1")
    page.keyboard.press("Enter")
    settle(page)
    expect(page.get_by_text("API key set")).to_be_visible()
    stored = page.evaluate("[sessionStorage.getItem('halflife.key'), localStorage.length]")
    assert stored == ["k-1", 0]
    assert all("401" in text for text in complaints)
    complaints.clear()


def test_without_the_chart_library_the_table_still_tells(
    page: Page, new_page: NewPage, user: str, complaints: list[str]
) -> None:
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.reload()
    find(page, user)
    expect(page.locator("#chart-note")).to_contain_text("The chart could not be drawn")
    assert len(weights(page)) > 0
    assert all("ERR_FAILED" in text for text in complaints)
    complaints.clear()
