"""gRPC: the same answers as over HTTP, and errors as status codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

from recsys.bundle import Bundle
from recsys.errors import LedgerError, StoreError, UnavailableError
from recsys.settings import Settings
from serving.gateway import Gateway
from serving.rpc.halflife_pb2 import Event, IngestReply, IngestRequest, RecommendRequest, Slate
from serving.rpc.messages import raw_event
from serving.rpc.servicer import RefusedError, Servicer
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, LocalPool

ROOT = Path(__file__).parents[3]


class Told:
    """A context that remembers."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details


@pytest.fixture
def stage(bundle: Bundle, pool: LocalPool, settings: Settings) -> Stage:
    return Stage.of(Gateway(bundle, pool, settings, lambda: NOW))


def recommended(stage: Stage, **asked: Any) -> Slate:
    return asyncio.run(Servicer(stage).recommend(RecommendRequest(**asked), Told()))


def ingested(stage: Stage, *events: Event) -> IngestReply:
    return asyncio.run(Servicer(stage).ingest(IngestRequest(events=events), Told()))


def refused(call: Callable[[Servicer, Told], Awaitable[Any]], stage: Stage) -> Told:
    told = Told()
    with pytest.raises(RefusedError):
        asyncio.run(call(Servicer(stage), told))  # type: ignore[arg-type]
    return told


def test_events_move_the_next_slate(stage: Stage) -> None:
    before = recommended(stage, user_id="ann", k=4)
    assert before.cold_start and len(before.items) == 4
    assert [item.rank for item in before.items] == [1, 2, 3, 4]

    clicks = [Event(user_id="ann", kind="click", item_id=f"space-{n}") for n in range(3)]
    reply = ingested(stage, *clicks)
    assert reply.accepted == 3 and reply.version != ""

    after = recommended(stage, user_id="ann", k=4, min_version=reply.version)
    assert not after.cold_start and after.user_id == "ann"
    assert all(item.item_id.startswith("space-") for item in after.items)
    assert after.items[0].reason.startswith("Because")
    assert sum(after.items[0].parts.values()) == pytest.approx(after.items[0].score, rel=1e-5)


def test_what_is_not_set_takes_the_default(stage: Stage) -> None:
    assert len(recommended(stage, user_id="ann").items) == 10
    silent = recommended(stage, user_id="ann", explain=False)
    assert {item.reason for item in silent.items} == {""}


def test_zero_is_a_value_and_not_a_default(stage: Stage) -> None:
    told = refused(lambda s, t: s.recommend(RecommendRequest(user_id="ann", k=0), t), stage)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT and "k" in told.details
    assert raw_event(Event(user_id="a", kind="rating", value=0.0))["value"] == 0.0


def test_a_refused_event_does_not_hold_up_the_others(stage: Stage) -> None:
    good = Event(user_id="ann", kind="click", item_id="space-1")
    bad = Event(user_id="", kind="click", item_id="space-1")
    reply = ingested(stage, bad, good)
    assert reply.accepted == 1
    assert [(one.index, one.reason) for one in reply.rejected] == [(0, "bad_event")]


def test_an_event_id_counts_once(stage: Stage) -> None:
    event = Event(user_id="ann", kind="click", item_id="space-1", event_id="e-1")
    assert ingested(stage, event).accepted == 1
    assert ingested(stage, event).duplicates == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"user_id": ""},
        {"user_id": "ann", "diversity": 2.0},
        {"user_id": "ann", "diversity": float("nan")},
        {"user_id": "ann", "min_version": "x"},
        {"user_id": "ann", "as_of": float("inf")},
        {"user_id": "ann", "k": 4_000_000_000},
        {"user_id": "ann", "filter": "true"},
    ],
)
def test_what_is_unsound_is_an_invalid_argument(stage: Stage, asked: dict[str, Any]) -> None:
    told = refused(lambda s, t: s.recommend(RecommendRequest(**asked), t), stage)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT and told.details != ""


@pytest.mark.parametrize(
    ("error", "code", "secret"),
    [
        (UnavailableError("shard", "is away"), grpc.StatusCode.UNAVAILABLE, None),
        (LedgerError("/data/ledger.db", "is locked"), grpc.StatusCode.UNAVAILABLE, "/data"),
        (StoreError("s3://bucket", "is away"), grpc.StatusCode.INTERNAL, "bucket"),
        (ZeroDivisionError("a secret"), grpc.StatusCode.INTERNAL, "secret"),
    ],
)
def test_a_failure_has_a_code_and_keeps_secrets(
    stage: Stage, error: Exception, code: grpc.StatusCode, secret: str | None
) -> None:
    async def fails(*_: Any) -> None:
        raise error

    stage.front.gateway.post_events = fails  # type: ignore[method-assign, assignment]
    told = refused(lambda s, t: s.ingest(IngestRequest(), t), stage)
    assert told.code is code
    assert secret is None or secret not in told.details


def test_the_generated_code_is_of_this_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    outputs = [f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    assert protoc.main(["protoc", "-I.", *outputs, "serving/rpc/halflife.proto"]) == 0
    made = sorted((tmp_path / "serving" / "rpc").iterdir())
    assert len(made) == 3
    for file in made:
        assert file.read_text() == (ROOT / "serving" / "rpc" / file.name).read_text(), "make proto"
