from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from recsys.encoder.text import TextEncoder
from recsys.errors import ConfigError
from recsys.training.text_lora import lora_targets
from recsys.training.text_merge import merged_encoder
from tests.unit.training.towers import TEXTS, fit, save_models, tower_on


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("stage", ["lora", "full"])
def test_a_tuned_model_becomes_a_plain_encoder_with_the_same_vectors(
    folders: dict[str, Path], tmp_path: Path, kind: str, stage: str
) -> None:
    tower = tower_on(folders[kind], stage=stage)
    fit(tower, 5)
    weights = {name: value.clone() for name, value in tower.trained().items()}
    files = merged_encoder(tower, tmp_path / "tuned")
    assert files is not None
    encoder = TextEncoder(tmp_path / "tuned", tower.settings)
    assert encoder.encoder_id == files.id != tower.files.id
    assert {Path(name).suffix for name in files.files} <= {".json", ".safetensors"}
    said = [text for text in TEXTS if text]
    rows = torch.tensor([row for row, text in enumerate(TEXTS) if text])
    expected = tower.eval()(rows).detach().numpy()
    np.testing.assert_allclose(encoder.encode(said), expected, atol=1e-5)
    untrained = TextEncoder(folders[kind], tower.settings).encode(said)
    assert np.abs(expected - untrained).max() > 1e-2
    assert all(torch.equal(weights[name], value) for name, value in tower.trained().items())


def test_merged_weights_have_the_names_that_they_had(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for kind, folder in folders.items():
        merged_encoder(tower_on(folder), tmp_path / kind)
        names = []
        for place in (folder, tmp_path / kind):
            with safe_open(place / "model.safetensors", "pt") as tensors:
                names.append(sorted(tensors.keys()))
        assert names[0] == names[1]


def test_layers_are_chosen_by_architecture_or_by_setting(folders: dict[str, Path]) -> None:
    bert, llama = (tower_on(folders[kind], stage="full").model for kind in ("encoder", "decoder"))
    assert lora_targets(bert, ()) == ["query", "key", "value"]
    assert lora_targets(llama, ()) == ["q_proj", "k_proj", "v_proj", "o_proj"]
    tower = tower_on(folders["decoder"], lora_targets=("up_proj",), lora_rank=3)
    assert len(tower.trained()) == 4
    assert all("up_proj" in name for name in tower.trained())


def test_a_layer_that_does_not_exist_is_a_named_error(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"train\.lora_targets = q_proj, nose.*no.*layer nose"):
        tower_on(folders["decoder"], lora_targets=("q_proj", "nose"))


def test_a_model_of_an_unknown_family_says_which_setting_helps() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match=r"train\.lora_targets.*train\.stage=full"):
        lora_targets(model, ())


def test_missing_peft_names_the_extra(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"halflife\[train\]"):
        tower_on(folders["encoder"])
    tower_on(folders["encoder"], stage="full")  # which needs none
