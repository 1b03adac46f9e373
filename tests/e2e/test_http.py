"""The whole service over HTTP on a tiny bundle: Serve, gateway, pool, ledger."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
import ray
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from cluster import local
from pipelines.erase import run as erase
from pipelines.job import Job
from recsys.archive import create_store
from recsys.bundle import Bundle, BundleDraft, publish_bundle
from recsys.encoder.projection import fit_projection
from recsys.encoder.text import TextEncoder
from recsys.errors import ConfigError
from recsys.retrieval import build_index
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from serving.client import EventBatcher, HalflifeClient
from serving.rpc.halflife_pb2 import Event, IngestRequest, RecommendRequest
from serving.rpc.halflife_pb2_grpc import HalflifeStub
from tests.benchmarks.hostile_parts.attack import attack
from tests.benchmarks.hostile_parts.requests import requests
from tests.unit.encoder.models import WORDS, save_encoder

pytestmark = pytest.mark.ray

TEXTS = {
    **{f"space-{n}": f"rockets stars orbit planets moon{n}" for n in range(15)},
    **{f"food-{n}": f"garlic pasta bread sauce dish{n}" for n in range(15)},
    "mute": None,
}


@pytest.fixture(scope="module")
def job(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("http")
    told = ["encoder.n_dims=8", "serving.n_shards=2", "data.n_partitions=8"]
    told += [f"serving.grpc_port={free_port()}", "serving.grpc_is_fenced=true"]
    settings = load(assignments=told)
    store = Store(str(folder / "store"))
    create_store(store, 8)
    _give_encoder(tiny_bundle(store, tiny_items(TEXTS), time.time(), settings), folder)
    return Job(store, f"sqlite:///{folder}/ledger.db", settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _give_encoder(bundle: Bundle, folder: Path) -> None:
    """Publish the bundle again with a tiny language model in it."""
    encoder = TextEncoder(save_encoder(folder / "model"), bundle.settings.encoder)
    draft = BundleDraft(
        catalog=bundle.catalog,
        vectors=bundle.vectors,
        projection=fit_projection(encoder.encode(WORDS), bundle.n_dims),
        index=build_index(bundle.vectors, bundle.settings.retrieval),
        weights=bundle.weights,
        settings=bundle.settings,
        data_until=0.0,
        encoder=encoder.files,
        graph=bundle.graph,
    )
    publish_bundle(bundle.store, bundle.tenant, draft, time.time())


@pytest.fixture(scope="module")
def url(job: Job) -> Iterator[str]:
    yield local.up(job, port=0).url
    local.down(job)


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30.0) as client:
        yield client


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def slate(client: httpx.Client, user: str, **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/users/{quote(user, safe='')}/recommendations", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def strongest_interest(found: dict[str, Any]) -> float:
    return max(item["parts"]["interest"] for item in found["items"])


def test_it_is_healthy(client: httpx.Client) -> None:
    found = client.get("/healthz")
    assert found.status_code == 200
    assert found.json()["status"] == "ok" and len(found.json()["shards"]) == 2


def test_grpc_is_the_same_service(job: Job, client: httpx.Client) -> None:
    address = f"127.0.0.1:{job.settings.serving.grpc_port}"
    with grpc.insecure_channel(address) as channel:
        stub = HalflifeStub(channel)
        events = [Event(user_id="gina", kind="click", item_id=f"space-{n}") for n in range(3)]
        reply = stub.Ingest(IngestRequest(events=events), timeout=30)
        assert reply.accepted == 3
        asked = RecommendRequest(user_id="gina", k=3, min_version=reply.version, as_of=time.time())
        found = stub.Recommend(asked, timeout=30)
        over_http = slate(client, "gina", k=3, as_of=asked.as_of)
        assert [i.item_id for i in found.items] == [i["item_id"] for i in over_http["items"]]
        with pytest.raises(grpc.RpcError) as refused:
            stub.Recommend(RecommendRequest(user_id="gina", k=0), timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in refused.value.details()


def test_the_console_is_there(client: httpx.Client) -> None:
    page = client.get("/console")
    assert (
        page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
    )
    script = client.get("/console/plotly.min.js")
    assert script.headers["content-encoding"] == "gzip" and b"Plotly" in script.content


def test_what_a_user_searches_for_is_read_behind_the_request(client: httpx.Client) -> None:
    event = {"user_id": "searcher", "kind": "search", "text": "red apple pie"}
    reply = client.post("/v1/events", json=event)
    assert reply.status_code == 202 and reply.json()["pending"] == 1
    for _ in range(300):
        found = client.get("/v1/users/searcher/profile").json()
        if found["half_lives"][-1]["mass"] > 0.0:
            break
        time.sleep(0.1)
    assert found["half_lives"][-1]["mass"] > 0.0 and not found["cold_start"]


def test_an_event_is_in_the_next_slate(client: httpx.Client) -> None:
    for n in range(10):
        user = f"next-{n}"
        reply = client.post("/v1/events", json=click(user, f"space-{n}"))
        assert reply.status_code == 202
        found = slate(client, user, k=5)
        items = [item["item_id"] for item in found["items"]]
        assert not found["cold_start"] and not found["degraded"]
        assert all(item.startswith("space-") for item in items) and f"space-{n}" not in items
        assert found["profile_version"] == reply.json()["version"]


def test_another_taste_takes_the_slate_and_fades(client: httpx.Client) -> None:
    old = time.time() - 3 * 86_400.0
    events = [click("turn", f"space-{n}", kind="like", ts=old) for n in range(8)]
    client.post("/v1/events", json={"events": events}).raise_for_status()
    before = slate(client, "turn", k=3)
    events = [click("turn", f"food-{n}") for n in range(8)]
    client.post("/v1/events", json={"events": events}).raise_for_status()
    after = slate(client, "turn", k=3)
    assert {i["item_id"].split("-")[0] for i in before["items"]} == {"space"}
    assert {i["item_id"].split("-")[0] for i in after["items"]} >= {"food"}
    later = slate(client, "turn", k=3, as_of=time.time() + 30 * 86_400.0)
    assert strongest_interest(later) < strongest_interest(after)


def test_events_at_once_from_many_clients_all_count(client: httpx.Client) -> None:
    def post(n: int) -> int:
        reply = client.post("/v1/events", json=click("busy", f"food-{n % 15}", event_id=f"b{n}"))
        return int(reply.json()["accepted"])

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(post, range(40))) == 40
        assert sum(threads.map(post, range(40))) == 0
    assert client.get("/v1/users/busy/profile").json()["n_events"] == 40


def test_every_other_route_answers(client: httpx.Client) -> None:
    client.post("/v1/events", json=click("routes", "food-1")).raise_for_status()
    profile = client.get("/v1/users/routes/profile").json()
    assert profile["interests"][0]["label"] == "garlic"
    similar = client.get("/v1/items/food-1/similar", params={"k": 3}).json()
    assert len(similar["items"]) == 3
    session = client.post("/v1/recommendations", json={"items": ["food-1"], "k": 3}).json()
    assert all(item["item_id"].startswith("food-") for item in session["items"])
    deadline = time.monotonic() + 10.0
    while not client.get("/v1/trending").json()["items"]:
        assert time.monotonic() < deadline, "the trend does not reach the gateway"
        time.sleep(0.05)


def test_a_wish_is_in_the_next_slate(client: httpx.Client) -> None:
    client.post("/v1/events", json=click("wisher", "space-1")).raise_for_status()
    (mine,) = client.get("/v1/users/wisher/interests").json()["interests"]
    path = f"/v1/users/wisher/interests/{quote(mine['label'], safe='')}"
    said = client.patch(path, json={"mute": True})
    assert said.status_code == 200, said.text
    found = slate(client, "wisher", min_version=said.json()["version"])
    assert "all interests are muted" in found["reason"] and len(found["items"]) > 0
    assert client.delete(path).json()["wish"]["forgotten_at"] is not None
    assert client.get("/v1/users/wisher/interests").json()["interests"] == []
    assert client.delete("/v1/users/wisher/interests/opera").status_code == 404


def test_a_user_is_written_exported_and_erased_while_served(client: httpx.Client, job: Job) -> None:
    client.post("/v1/events", json=click("leaver", "food-1")).raise_for_status()
    body = {"attributes": {"plan": "free"}, "follows": ["busy"]}
    client.put("/v1/users/leaver", json=body).raise_for_status()
    known = client.get("/v1/users/leaver").json()
    assert known["is_known"] and known["attributes"] == body["attributes"]
    exported = client.get("/v1/users/leaver/export").json()
    assert [event["item_id"] for event in exported["events"]] == ["food-1"]
    told = client.delete("/v1/users/leaver")
    assert told.status_code == 202, told.text
    deadline = time.monotonic() + 30.0
    while client.get("/v1/users/leaver").json()["is_known"]:
        assert time.monotonic() < deadline, "the shards do not forget"
        time.sleep(0.1)
    assert slate(client, "leaver")["cold_start"]
    finished = erase(job, "leaver")
    assert finished["receipt"]["removed"]["ledger"]["n_rows"] == 1
    assert client.get("/v1/users/leaver/export").json()["events"] == []


def test_a_new_item_is_recommended_in_two_seconds_and_gone_in_one(
    url: str, client: httpx.Client
) -> None:
    def within(limit_s: float, is_there: bool) -> bool:
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            reply = client.post("/v1/recommendations", json={"text": "red pie", "k": 40})
            shown = reply.status_code == 200 and any(
                item["item_id"] == "pie" and item["parts"]["interest"] > 0.0
                for item in reply.json()["items"]
            )
            if shown is is_there:
                return True
            time.sleep(0.02)
        return False

    with HalflifeClient(url) as halflife:
        halflife.put_item("warm-up", {"title": "apple"})  # the first text loads the model
        deadline = time.monotonic() + 60.0
        while client.post("/v1/recommendations", json={"text": "pie"}).status_code == 503:
            assert time.monotonic() < deadline
        halflife.put_item("pie", {"title": "red pie"})
        assert within(2.0, is_there=True)
        assert halflife.item("pie").title == "red pie"
        assert halflife.items(limit=1).next_cursor is not None
        assert halflife.write_items({"delete": ["pie", "warm-up"]}).deleted == ["pie", "warm-up"]
        assert within(1.0, is_there=False)


def test_words_go_through_the_encoder(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60.0  # the first text loads the model
    while (
        reply := client.post("/v1/recommendations", json={"text": "red pie"})
    ).status_code == 503:
        assert time.monotonic() < deadline
    assert reply.status_code == 200 and not reply.json()["cold_start"]
    parts = [item["parts"]["interest"] for item in reply.json()["items"]]
    assert parts[0] > 0.0


def test_strangers_get_200_and_strange_items_404(client: httpx.Client) -> None:
    found = slate(client, "stranger", k=4)
    assert found["cold_start"] and len(found["items"]) == 4
    assert client.get("/v1/items/strange/similar").status_code == 404


def test_as_of_before_the_last_event_is_refused(client: httpx.Client) -> None:
    client.post("/v1/events", json=click("past", "food-1")).raise_for_status()
    for route in ("recommendations", "profile"):
        reply = client.get(f"/v1/users/past/{route}", params={"as_of": time.time() - 3_600.0})
        assert reply.status_code == 422 and "last event" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"user_id": ', 400),
        (b"\x00\xff", 400),
        (b"[1, 2]", 422),
        (b'{"events": []}', 422),
        (b'{"user_id": "u", "item_id": "i", "kind": "stare"}', 422),
        (b'{"text": "' + b"x" * (3 << 20) + b'"}', 413),
    ],
)
def test_bad_bodies_are_problems(client: httpx.Client, body: bytes, status: int) -> None:
    reply = client.post("/v1/events", content=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert set(reply.json()) == {"type", "title", "status", "detail"}


def test_a_body_without_a_length_is_counted_too(client: httpx.Client) -> None:
    reply = client.post("/v1/events", content=(b" " * 65_536 for _ in range(40)))
    assert reply.status_code == 413


@pytest.mark.parametrize("k", [0, 10_000])
def test_k_has_its_limits(client: httpx.Client, k: int) -> None:
    assert client.get("/v1/users/u/recommendations", params={"k": k}).status_code == 422


@pytest.mark.parametrize("user", ["a\x00b", "a\x1bb", "x" * 10_000])
def test_unsound_ids_are_refused(client: httpx.Client, user: str) -> None:
    assert client.get(f"/v1/users/{quote(user, safe='')}/recommendations").status_code == 422
    assert client.post("/v1/events", json=click(user, "food-1")).status_code == 422


def test_the_client_reads_its_own_writes_and_replies_have_one_id(
    url: str, client: httpx.Client
) -> None:
    with HalflifeClient(url) as halflife:
        assert halflife.health().status == "ok"
        with EventBatcher(halflife, max_events=10) as batch:
            for n in range(25):
                batch.add(click("typed", f"food-{n % 15}"))
        assert batch.totals.accepted == 25
        token = halflife.event("typed", "like", "food-1").version
        assert halflife.recommend("typed", k=3).profile_version == token
        assert halflife.profile("typed").n_events == 26
    for sent in ({"X-Request-ID": "mine-1"}, {}):
        reply = client.get("/v1/trending", headers=sent)
        (found,) = reply.headers.get_list("X-Request-ID")
        assert found == sent.get("X-Request-ID", found) and found != ""


def test_a_request_is_one_json_line_of_the_replica_without_a_user(client: httpx.Client) -> None:
    headers = {"X-Request-ID": "find-me-7"}
    client.get("/v1/users/hidden-user/recommendations", headers=headers).raise_for_status()
    logs = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"
    deadline = time.monotonic() + 10.0
    found: list[str] = []
    while not found:
        assert time.monotonic() < deadline, "the line is not there"
        text = "".join(file.read_text() for file in logs.glob("replica_*Gateway*.log"))
        found = [line for line in text.splitlines() if "find-me-7" in line]
        time.sleep(0.05)
    line = json.loads(found[0])
    assert line["http_route"] == "/v1/users/{user_id:id}/recommendations"
    assert line["status"] == 200 and line["slate"] == "cold" and "profile" in line["stages_ms"]
    assert "hidden-user" not in text


def test_hostile_requests_get_no_error_of_the_server(client: httpx.Client, url: str) -> None:
    found = attack(url, requests(300, seed=3), patience_s=0.5)
    assert found.by_status.total() == 300 and found.failed == []
    assert client.get("/healthz").status_code == 200
    client.post("/v1/events", json=click("after", "food-1")).raise_for_status()
    assert not slate(client, "after")["cold_start"]


def test_a_second_up_finds_the_first(url: str, job: Job) -> None:
    again = local.up(job, port=0)
    assert again.was_up and again.url == url


def test_a_port_in_use_is_named(url: str, job: Job) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        local.up(replace(job, tenant="other"), port=int(url.rsplit(":", 1)[1]))


def fuzz(operation: Any) -> None:
    documented = {int(code) for code in operation.responses.status_codes}

    @hypothesis_settings(
        max_examples=12,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def answers(case: Any) -> None:
        reply = case.call()
        assert reply.status_code in documented, (reply.status_code, reply.text)

    answers()


def test_whatever_is_sent_the_answer_is_as_documented(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 35
    for operation in operations:
        fuzz(operation)
