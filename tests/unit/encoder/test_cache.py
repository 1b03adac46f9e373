from pathlib import Path

import numpy as np
import pytest

from recsys.encoder.cache import VectorCache, text_hash
from recsys.encoder.projection import unit_rows
from recsys.errors import StoreError
from recsys.store import Store


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(Store(str(tmp_path)), "e1")


def test_what_was_put_is_found_in_the_order_of_the_hashes(
    cache: VectorCache, rng: np.random.Generator
) -> None:
    vectors = unit_rows(rng.normal(size=(4, 8)))
    cache.put(["d", "a"], vectors[:2])
    cache.put(["c", "b"], vectors[2:])
    names, found = cache.get(["c", "x", "a", "a"])
    assert names == ["a", "c"]
    np.testing.assert_allclose(found, vectors[[1, 2]], atol=1e-3)
    assert found.dtype == np.float32
    assert cache.hashes() == {"a", "b", "c", "d"}


def test_a_text_put_twice_is_found_once(cache: VectorCache, rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(2, 8)))
    cache.put(["a"], vectors[:1])
    cache.put(["a", "b"], vectors)
    assert cache.get(["a", "b"])[1].shape == (2, 8)


def test_an_empty_cache_finds_nothing(cache: VectorCache) -> None:
    assert cache.get(["a"])[0] == []
    assert cache.hashes() == set()
    cache.put([], np.zeros((0, 8), np.float32))
    assert cache.hashes() == set()


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    VectorCache(store, "e1").put(["a"], np.eye(1, 4, dtype=np.float32))
    assert VectorCache(store, "e2").hashes() == set()


def test_a_half_written_file_is_a_named_error(cache: VectorCache, tmp_path: Path) -> None:
    cache.put(["a"], np.eye(1, 4, dtype=np.float32))
    path = next((tmp_path / "vectors" / "e1").iterdir())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match="Parquet"):
        cache.get(["a"])


def test_a_texts_hash_is_stable() -> None:
    assert text_hash("red apple") == text_hash("red apple") != text_hash("red apples")
    assert text_hash("") == "e3b0c44298fc1c149afbf4c8996fb924"
