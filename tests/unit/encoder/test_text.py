from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from recsys.encoder.text import Encoder, TextEncoder, pool
from recsys.errors import ConfigError, NotFoundError
from recsys.settings import EncoderSettings
from recsys.testing.contracts import EncoderContract
from tests.unit.encoder.models import WORDS, save_decoder, save_encoder

Pooling = Literal["cls", "mean", "last"]
POOLINGS: tuple[Pooling, ...] = ("cls", "mean", "last")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "encoder": save_encoder(tmp_path_factory.mktemp("encoder")),
        "decoder": save_decoder(tmp_path_factory.mktemp("decoder")),
    }


def texts(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 12))) for _ in range(n)]


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_texts_vector_does_not_depend_on_its_batch(
    folders: dict[str, Path], rng: np.random.Generator, kind: str, pooling: Pooling
) -> None:
    settings = EncoderSettings(pooling=pooling, batch_tokens=40)
    encoder = TextEncoder(folders[kind], settings)
    batch = texts(rng, 30)
    vectors = encoder.encode(batch)
    singles = np.concatenate([encoder.encode([text]) for text in batch])
    assert isinstance(encoder, Encoder)
    assert vectors.dtype == np.float32
    assert vectors.shape == (30, encoder.n_dims) == (30, 16)
    np.testing.assert_allclose(vectors, singles, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


class TestTinyEncoder(EncoderContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TextEncoder:
        return TextEncoder(folders["encoder"], EncoderSettings())


class TestTinyDecoder(EncoderContract):
    @pytest.fixture
    def encoder(self, folders: dict[str, Path]) -> TextEncoder:
        return TextEncoder(folders["decoder"], EncoderSettings(pooling="last"))


def test_a_text_longer_than_the_limit_is_cut(folders: dict[str, Path]) -> None:
    encoder = TextEncoder(folders["decoder"], EncoderSettings(max_tokens=3))
    vectors = encoder.encode(["red green blue", "red green blue ghost house", "red green ghost"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_the_id_names_weights_pooling_and_length(folders: dict[str, Path], tmp_path: Path) -> None:
    def named(folder: Path, pooling: Pooling = "mean", max_tokens: int = 96) -> str:
        settings = EncoderSettings(pooling=pooling, max_tokens=max_tokens, model=str(folder))
        return TextEncoder(folder, settings).encoder_id

    first = named(folders["encoder"])
    assert named(save_encoder(tmp_path / "same")) == first
    others = [
        named(save_encoder(tmp_path / "other", seed=2)),
        named(folders["encoder"], pooling="cls"),
        named(folders["encoder"], max_tokens=9),
        named(folders["decoder"]),
    ]
    assert len({first, *others}) == 5


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _broken(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no such model"}')


@pytest.mark.parametrize(
    "breaks", [_without("config.json"), _without("model.safetensors"), _broken]
)
def test_a_folder_that_holds_no_model_is_a_named_error(
    tmp_path: Path, breaks: Callable[[Path], None]
) -> None:
    folder = save_encoder(tmp_path / "model")
    breaks(folder)
    with pytest.raises(ConfigError, match="model folder"):
        TextEncoder(folder, EncoderSettings())


def test_a_missing_folder_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"encoder\.model"):
        TextEncoder(tmp_path / "nowhere", EncoderSettings())


@pytest.mark.parametrize("left", [False, True])
def test_padding_on_either_side_is_never_pooled(left: bool) -> None:
    hidden = torch.tensor([[[1.0], [2.0], [6.0], [99.0]]])
    mask = torch.tensor([[1, 1, 1, 0]])
    if left:
        hidden, mask = hidden.roll(1, dims=1), mask.roll(1, dims=1)
    found = {pooling: float(pool(hidden, mask, pooling)[0, 0]) for pooling in POOLINGS}
    assert found == {"cls": 1.0, "mean": 3.0, "last": 6.0}
    with pytest.raises(ValueError, match="max"):
        pool(hidden, mask, "max")
