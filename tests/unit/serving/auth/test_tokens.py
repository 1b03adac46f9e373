"""Tokens: what is signed for us is taken, and nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from recsys.auth_options import AuthSettings
from recsys.errors import ConfigError
from recsys.settings import load
from serving.auth.tokens import TokenReader

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = ed25519.Ed25519PrivateKey.generate()
SETTINGS = AuthSettings(jwks_file="unused", issuer="https://id.shop", audience="halflife")
FAR = 4_000_000_000


def jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm)
    found: dict[str, Any] = json.loads(made.to_jwk(key.public_key()))
    return {**found, "kid": kid, "alg": algorithm, "use": "sig"}


KEYS = [jwk(RSA, "r", "RS256"), jwk(ED, "d", "EdDSA"), jwk(EC, "c", "ES256")]


@pytest.fixture
def reader(tmp_path: Path) -> TokenReader:
    path = tmp_path / "jwks.json"
    secret = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}
    path.write_text(json.dumps({"keys": [*KEYS, secret]}))
    return TokenReader(path, SETTINGS)


def signed(key: Any = ED, kid: str = "d", algorithm: str = "EdDSA", **claims: Any) -> str:
    told = {"iss": "https://id.shop", "aud": "halflife", "sub": "svc", "exp": FAR}
    told |= {"scope": "recommend ingest write:world", **claims}
    return jwt.encode(
        {name: value for name, value in told.items() if value is not None},
        key,
        algorithm,
        headers={"kid": kid},
    )


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"), [(RSA, "r", "RS256"), (ED, "d", "EdDSA"), (EC, "c", "ES256")]
)
def test_a_signed_token_is_taken(reader: TokenReader, key: Any, kid: str, algorithm: str) -> None:
    caller = reader.caller(signed(key, kid, algorithm, tenant="shop"))
    assert caller is not None and caller.tenant == "shop"
    assert caller.scopes == {"recommend", "ingest"}
    assert "svc" not in caller.name


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"iss": "https://evil"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"nbf": FAR - 1},
        {"scope": ["admin"]},
        {"tenant": 7},
    ],
)
def test_wrong_claims_are_refused(reader: TokenReader, claims: dict[str, Any]) -> None:
    assert reader.caller(signed(**claims)) is None


def test_a_token_of_nobody_has_no_scope(reader: TokenReader) -> None:
    caller = reader.caller(signed(scope=None))
    assert caller is not None and caller.scopes == frozenset()


def test_forgeries_are_refused(reader: TokenReader) -> None:
    good = signed()
    head, body, signature = good.split(".")
    none_head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"d"}').rstrip(b"=").decode()
    public = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged_head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r"}').rstrip(b"=").decode()
    algorithm = jwt.get_algorithm_by_name("HS256")
    with_public = algorithm.sign(f"{forged_head}.{body}".encode(), public)
    confused = base64.urlsafe_b64encode(with_public).rstrip(b"=").decode()
    changed = base64.urlsafe_b64encode(b'{"sub":"root"}').rstrip(b"=").decode()
    for forged in (
        f"{none_head}.{body}.",
        f"{none_head}.{body}.{signature}",
        f"{head}.{changed}.{signature}",
        f"{forged_head}.{body}.{confused}",
        signed(OTHER),
        signed(OTHER, kid="unknown"),
        signed(ED, kid="r"),
        jwt.encode({"sub": "x"}, "c2VjcmV0" * 8, "HS256", headers={"kid": "shared"}),
        good[:-4],
        "a.b.c",
        "",
        "x" * 10_000,
    ):
        assert reader.caller(forged) is None, forged[:40]
    assert reader.caller(good) is not None


def test_keys_are_exchanged_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk(OTHER, "old", "EdDSA")]}))
    reader = TokenReader(path, SETTINGS)
    assert reader.caller(signed()) is None
    path.write_text(json.dumps({"keys": KEYS}))
    reader.refresh()
    assert reader.caller(signed()) is not None
    assert reader.caller(signed(OTHER, kid="old")) is None
    path.write_text("{")
    with pytest.raises(ConfigError):
        reader.refresh()
    assert reader.caller(signed()) is not None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct"}]}'])
def test_a_file_without_public_keys_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwks.json").write_text(content)
    with pytest.raises(ConfigError):
        TokenReader(tmp_path / "jwks.json", SETTINGS)


def test_tokens_need_issuer_and_audience() -> None:
    with pytest.raises(ConfigError, match="issuer and audience"):
        load(assignments=["serving.auth.jwks_file=f"])
