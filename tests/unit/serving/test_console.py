"""The console's files as they are served; what the page does is tested in a browser."""

from __future__ import annotations

import gzip
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.console.assets import CHART, PAGE, STATIC, asset, names

SCRIPTS = sorted(STATIC.glob("*.js"))
LINK = re.compile(r'(?:href|src)="([^"#]+)"')
IMPORT = re.compile(r'from "\./([^"]+)"')


def test_the_page_needs_no_slash_and_no_key(client: TestClient) -> None:
    reply = client.get("/console")
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/html")
    assert "<h1>Halflife</h1>" in reply.text


@pytest.mark.parametrize("path", ["/console/", "/console/index.html"])
def test_with_a_slash_it_leads_to_the_page(client: TestClient, path: str) -> None:
    reply = client.get(path, follow_redirects=False)
    assert reply.status_code == 308 and reply.headers["location"] == "../console"
    assert client.get(path).url.path == "/console"


def test_it_works_below_a_prefix(client: TestClient) -> None:
    outer = FastAPI()
    outer.mount("/shop", client.app)
    with TestClient(outer) as outside:
        page = outside.get("/shop/console/")
        assert page.url.path == "/shop/console"
        for link in LINK.findall(page.text):
            assert outside.get(str(page.url.join(link))).status_code == 200, link


@pytest.mark.parametrize("name", [PAGE, *sorted(names())])
def test_every_file_comes_under_a_strict_policy(client: TestClient, name: str) -> None:
    reply = client.get("/console" if name == PAGE else f"/console/{name}")
    assert reply.status_code == 200 and reply.headers["content-encoding"] == "gzip"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    again = client.get(reply.url, headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_who_takes_no_gzip_gets_the_same_bytes(client: TestClient) -> None:
    plain = client.get(f"/console/{CHART}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == files("plotly").joinpath("package_data", CHART).read_bytes()
    assert gzip.decompress(asset(CHART).zipped) == plain.content


@pytest.mark.parametrize("name", ["no.js", "__init__.py", "..%2Froutes.py", "%00"])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    reply = client.get(f"/console/{name}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_all_that_the_page_and_its_modules_name_is_served() -> None:
    page = (STATIC / PAGE).read_text()
    linked = {link.removeprefix("console/") for link in LINK.findall(page)}
    imported = {name for script in SCRIPTS for name in IMPORT.findall(script.read_text())}
    assert linked | imported <= names()
    assert {path.name for path in STATIC.iterdir()} == (linked | imported) | {PAGE}


def test_nothing_is_inline_and_data_never_becomes_markup() -> None:
    page = (STATIC / PAGE).read_text()
    assert re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page) is None
    for script in SCRIPTS:
        text = script.read_text()
        assert (
            re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
            is None
        )
        assert re.search(r"https?:", text) is None


def test_the_files_are_in_the_package() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-data"]["serving.console"] == ["static/*"]
