"""The store on an object store: moto's server stands in for S3."""

import pickle
from collections.abc import Iterator

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from recsys.errors import ChecksumError, ConflictError, NotFoundError, StoreError
from recsys.store import Store, digest

BUCKET = "halflife"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=BUCKET)
    return Store(f"s3://{BUCKET}/{request.node.name}/")


def test_files_are_written_read_listed_and_deleted(store: Store) -> None:
    assert store.root is None
    store.write("a/one", b"1")
    path = store.put_content("a", b"content", ".bin")
    assert store.read(path, digest(b"content")) == b"content"
    assert store.paths("a") == sorted(["a/one", path])
    store.delete("a/one")
    store.delete("a/one")
    assert not store.exists("a/one")
    with pytest.raises(NotFoundError, match="a/one"):
        store.read("a/one")
    with pytest.raises(ChecksumError):
        store.read(path, digest(b"other"))


def test_a_store_sees_only_what_is_below_its_prefix(store: Store) -> None:
    store.write("a", b"1")
    assert Store(f"{store.uri}/below").paths("") == []
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


def test_tables_keep_their_schema(store: Store) -> None:
    table = pa.table({"x": [1, 2], "y": ["a", None]}).replace_schema_metadata({"k": "v"})
    path, sha256, _ = store.write_table("t", table)
    assert store.read_table(path, sha256=sha256).equals(table, check_metadata=True)
    store.write("t/half.parquet", store.read(path)[:40])
    with pytest.raises(StoreError, match=r"half\.parquet"):
        store.read_table("t/half.parquet")


def test_a_pointer_moves_only_from_where_it_was_read(store: Store) -> None:
    assert store.read_pointer("p/CURRENT") == (None, None)
    store.swap_pointer("p/CURRENT", {"n": 1}, None)
    with pytest.raises(ConflictError):
        store.swap_pointer("p/CURRENT", {"n": 9}, None)
    value, token = store.read_pointer("p/CURRENT")
    assert value == {"n": 1}
    store.swap_pointer("p/CURRENT", {"n": 2}, token)
    with pytest.raises(ConflictError):
        store.swap_pointer("p/CURRENT", {"n": 3}, token)
    assert store.read_pointer("p/CURRENT")[0] == {"n": 2}


def test_a_bucket_that_does_not_exist_is_named(store: Store) -> None:
    missing = Store("s3://no-such-bucket/x")
    with pytest.raises(StoreError, match="no-such-bucket"):
        missing.write("a", b"1")
