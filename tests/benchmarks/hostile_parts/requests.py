"""Requests that no sound client sends, as bytes on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

ROUTES = (
    "/v1/events",
    "/v1/recommendations",
    "/v1/recommendations:batch",
    "/v1/rules/dry-run",
    "/v1/slates/s/feedback",
)


@dataclass(frozen=True)
class Hostile:
    """One request."""

    kind: str
    parts: tuple[bytes, ...]
    """Sent one after the other, with a pause between."""
    may_hang_up: bool = False
    """Whether a closed connection without a reply will do: the bytes are no whole HTTP request."""


Maker = Callable[[np.random.Generator], Hostile]


def requests(n: int, seed: int) -> list[Hostile]:
    """Hostile requests of all kinds in turns, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [MAKERS[place % len(MAKERS)](rng) for place in range(n)]


def _head(method: str, target: bytes, *headers: bytes) -> bytes:
    lines = (method.encode() + b" " + target + b" HTTP/1.1", b"Host: h", b"Connection: close")
    return b"\r\n".join((*lines, *headers)) + b"\r\n\r\n"


def _post(route: str, body: bytes, kind: bytes = b"application/json", *more: bytes) -> bytes:
    length = b"Content-Length: " + str(len(body)).encode()
    return _head("POST", route.encode(), b"Content-Type: " + kind, length, *more) + body


def _one(rng: np.random.Generator, choices: Sequence[bytes]) -> bytes:
    return choices[int(rng.integers(len(choices)))]


def _route(rng: np.random.Generator) -> str:
    return ROUTES[int(rng.integers(len(ROUTES)))]


def _large(rng: np.random.Generator) -> Hostile:
    body = b'{"user_id": "' + b"x" * int(rng.integers(1 << 20, 3 << 20)) + b'"}'
    return Hostile("large body", (_post(_route(rng), body),), may_hang_up=True)


def _lying_length(rng: np.random.Generator) -> Hostile:
    body = b'{"user_id": "u", "item_id": "i", "kind": "click"}'
    lies = (b"0", b"1", b"-1", b"1e3", b"99999999999999999999", b"", b"10, 20")
    head = _head("POST", _route(rng).encode(), b"Content-Length: " + _one(rng, lies))
    return Hostile("lying length", (head + body,), may_hang_up=True)


def _long_target(rng: np.random.Generator) -> Hostile:
    size = int(rng.integers(1_000, 50_000))
    target = _one(rng, (b"/v1/users/%s/profile", b"/v1/users/%s", b"/v1/%s", b"/v1/trending?k=%s"))
    return Hostile("long target", (_head("GET", target % (b"a" * size)),), may_hang_up=True)


def _odd_target(rng: np.random.Generator) -> Hostile:
    odd = (b"%00", b"%ff%fe", b"%zz", b"%", b"%ed%a0%80", b"..%2f..%2fetc", b"%0d%0aX:%20y", b"'--")
    routes = (b"/v1/users/%s/recommendations", b"/v1/items/%s/similar", b"/v1/users/%s/export")
    return Hostile("odd target", (_head("GET", _one(rng, routes) % _one(rng, odd)),))


def _odd_query(rng: np.random.Generator) -> Hostile:
    names = (b"k", b"as_of", b"min_version", b"filter", b"context", b"interests", b"explain")
    values = (
        b"-1",
        b"1e999",
        b"NaN",
        b"%00",
        b"%ff",
        b"[" * 3_000,
        b"9" * 4_000,
        b"%7B%22a%22:",
        b"",
    )
    target = b"/v1/users/u/recommendations?" + _one(rng, names) + b"=" + _one(rng, values)
    return Hostile("odd query", (_head("GET", target),))


def _odd_encoding(rng: np.random.Generator) -> Hostile:
    text = '{"user_id": "Ünï", "item_id": "i", "kind": "click"}'
    bodies = (
        text.encode("latin-1"),
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        b"\x1f\x8b\x08\x00" + rng.bytes(200),
        b'{"user_id": "\\ud800", "item_id": "i", "kind": "click"}',
        b'{"user_id": "\\u0000", "item_id": "i", "kind": "click"}',
        rng.bytes(500),
    )
    kinds = (
        b"application/json",
        b"application/json; charset=utf-16",
        b"text/xml",
        b"\xff\xfe",
        b"",
    )
    more = b"Content-Encoding: gzip"
    return Hostile("odd encoding", (_post(_route(rng), _one(rng, bodies), _one(rng, kinds), more),))


def _deep(rng: np.random.Generator) -> Hostile:
    depth = int(rng.integers(500, 100_000))
    bodies = (
        b"[" * depth,
        b"[" * depth + b"]" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b'{"events": ' + b"[" * depth + b"]" * depth + b"}",
        b'{"user_id": ' + b"9" * depth + b"}",
        b'{"k": 1e' + b"9" * 400 + b"}",
        b"{" + b'"user_id": "u",' * min(depth, 5_000) + b'"k": 1}',
    )
    return Hostile("deep JSON", (_post(_route(rng), _one(rng, bodies)),))


def _odd_values(rng: np.random.Generator) -> Hostile:
    odd = (
        None,
        True,
        -1,
        1e308,
        "",
        "\x1b[31m",
        [],
        {},
        [[]],
        "9" * 500,
        {"$ref": "#"},
        "a" * 5_000,
    )
    names = ("user_id", "item_id", "kind", "ts", "k", "events", "shown", "rules", "text", "items")
    chosen = rng.choice(len(names), size=4, replace=False)
    body = {names[name]: odd[int(rng.integers(len(odd)))] for name in chosen}
    return Hostile("odd values", (_post(_route(rng), json.dumps(body).encode()),))


def _flood(rng: np.random.Generator) -> Hostile:
    n = int(rng.integers(50, 3_000))
    headers = [b"X-%d: %s" % (number, b"v" * int(rng.integers(1, 40))) for number in range(n)]
    return Hostile("header flood", (_head("GET", b"/v1/trending", *headers),), may_hang_up=True)


def _odd_header(rng: np.random.Generator) -> Hostile:
    headers = (
        b"X: " + b"v" * 70_000,
        b"Bad Name: x",
        b"X: \x00\x01",
        b"no colon",
        b"Idempotency-Key: " + b"k" * 3_000,
        b"Idempotency-Key: \xff\xfe",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Expect: 200-maybe",
        b"Range: bytes=0-,0-,0-",
        b"Upgrade: websocket\r\nSec-WebSocket-Key: x",
    )
    head = _head("POST", _route(rng).encode(), _one(rng, headers))
    return Hostile("odd header", (head,), may_hang_up=True)


def _slow(rng: np.random.Generator) -> Hostile:
    head = _head("POST", _route(rng).encode(), b"Content-Length: 100")
    return Hostile("slow body", (head, b'{"user', b'_id": ', b'"u"'), may_hang_up=True)


def _bad_lines(rng: np.random.Generator) -> Hostile:
    sound = b'{"user_id": "u", "item_id": "i", "kind": "click"}'
    lines = (sound, b"{", b"\x00\xff", b"null", b"[]", b"x" * 70_000, b'{"user_id":1}', b"", b"\r")
    body = _one(rng, (b"\n", b"\r\n", b"\n\n")).join(_one(rng, lines) for _ in range(40))
    return Hostile("bad NDJSON", (_post("/v1/events", body, b"application/x-ndjson"),))


def _bad_chunks(rng: np.random.Generator) -> Hostile:
    chunks = (
        b"zz\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhel",
        b"ffffffffffffffff\r\nx",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
    )
    head = _head("POST", _route(rng).encode(), b"Transfer-Encoding: chunked")
    return Hostile("bad chunks", (head + _one(rng, chunks),), may_hang_up=True)


def _no_http(rng: np.random.Generator) -> Hostile:
    lines = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + rng.bytes(64),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 500,
        rng.bytes(300),
    )
    return Hostile("no HTTP", (_one(rng, lines),), may_hang_up=True)


def _odd_method(rng: np.random.Generator) -> Hostile:
    methods = ("TRACE", "CONNECT", "OPTIONS", "HEAD", "PROPFIND", "PATCH", "DELETE")
    method = methods[int(rng.integers(len(methods)))]
    targets = (b"/v1/events", b"/", b"*", b"//", b"/v1/../healthz", b"http://other/v1/events")
    return Hostile("odd method", (_head(method, _one(rng, targets)),), may_hang_up=True)


MAKERS: tuple[Maker, ...] = (
    _odd_values,
    _odd_target,
    _deep,
    _odd_query,
    _odd_encoding,
    _bad_lines,
    _long_target,
    _lying_length,
    _flood,
    _odd_header,
    _bad_chunks,
    _no_http,
    _odd_method,
    _large,
    _slow,
)
