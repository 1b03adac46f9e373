"""The console when something is wrong: errors, refused ids, missing keys, hostile data."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from recsys.errors import UnavailableError
from tests.e2e.console.page import find, seed, settle, slate, weights
from tests.e2e.console.service import Service

ODD_USER = 'a/b?c=%2F&"><script>hacked=1</script> ü#'


def refuse(route: Route, status: int, **told: str) -> None:
    problem = {"type": "about:blank", "status": status, **told}
    route.fulfill(status=status, json=problem, content_type="application/problem+json")


def test_data_is_text_whatever_it_says(page: Page, service: Service, hostile: str) -> None:
    seed(service, ODD_USER)
    find(page, ODD_USER)
    expect(page.locator("#who")).to_have_text(ODD_USER)
    page.get_by_label("A click sends").select_option("play")
    for _ in range(20):
        if hostile in slate(page):
            break
        count = int(page.locator("#who-more").inner_text().split()[0])
        page.get_by_role("button", name="play pasta").first.click()
        expect(page.locator("#who-more")).to_contain_text(f"{count + 1} events")
        settle(page)
    page.get_by_role("button", name=f"play {hostile}").click()
    expect(page.locator("#weights")).to_contain_text(hostile)
    settle(page)
    assert page.locator("#found img").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"
    find(page, "somebody else")
    page.get_by_role("navigation").get_by_role("button", name=ODD_USER).click()
    expect(page.locator("#who")).to_have_text(ODD_USER)


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
    page: Page, user: str, complaints: list[str]
) -> None:
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.reload()
    find(page, user)
    expect(page.locator("#chart-note")).to_contain_text("The chart could not be drawn")
    assert len(weights(page)) > 0
    assert all("ERR_FAILED" in text for text in complaints)
    complaints.clear()


def test_without_a_graph_there_is_still_a_slate(
    page: Page, user: str, complaints: list[str]
) -> None:
    told = {"title": "Not Found", "detail": "interest graph: does not exist. Serve a newer bundle"}
    page.route("**/interests", lambda route: refuse(route, 404, **told))
    find(page, user)
    expect(page.locator("#weights")).to_contain_text("has no graph of interests")
    assert len(slate(page)) == 10
    page.get_by_label("Moment shown").press("PageUp")
    expect(page.locator("#slate-title")).to_have_text("Slate in 3 days")
    settle(page)
    assert all("404" in text for text in complaints)
    complaints.clear()
