"""The files of a language model: which of them make an encoder, and the id that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.blobs import put_blob
from recsys.errors import ConfigError, NotFoundError
from recsys.settings import EncoderSettings
from recsys.store import Store

_TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
    }
)
_ID_CHARS = 16
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class EncoderFiles:
    """An encoder as files: what a bundle keeps of it."""

    id: str
    """Hash of the files, the pooling and the longest text: equal ids give equal vectors."""
    model: str
    """The name by which it was asked for, for people."""
    pooling: str
    """cls, mean or last."""
    max_tokens: int
    """Longest text in tokens."""
    files: Mapping[str, Path]
    """File name -> where it lies now."""


def encoder_files(folder: str | Path, settings: EncoderSettings) -> EncoderFiles:
    """Find the files of a model folder and name the encoder that they make.

    Args:
        folder: of a Hugging Face model with safetensors weights.
        settings: pooling and longest text.

    Raises:
        NotFoundError: if the folder does not exist.
        ConfigError: if it holds no configuration, tokenizer or safetensors weights. Pickled
            weights (``.bin``) are never read: they can run code.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFoundError(f"model folder {folder}", "does not exist", "Check encoder.model")
    files = {path.name: path for path in sorted(folder.iterdir()) if _belongs(path)}
    _require(folder, "config.json", "config.json" in files)
    _require(folder, "a tokenizer", any(name in _TOKENIZER_FILES for name in files))
    _require(folder, "*.safetensors", any(name.endswith(".safetensors") for name in files))
    parts = {name: sha256_of(path) for name, path in files.items()}
    named = {"files": parts, "pooling": settings.pooling, "max_tokens": settings.max_tokens}
    text = json.dumps(named, sort_keys=True).encode()
    return EncoderFiles(
        id=hashlib.sha256(text).hexdigest()[:_ID_CHARS],
        model=settings.model,
        pooling=settings.pooling,
        max_tokens=settings.max_tokens,
        files=files,
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal characters, read in pieces."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _belongs(path: Path) -> bool:
    name = path.name
    weights = name.endswith((".safetensors", ".safetensors.index.json"))
    return path.is_file() and (weights or name == "config.json" or name in _TOKENIZER_FILES)


def _require(folder: Path, what: str, is_there: bool) -> None:
    if not is_there:
        raise ConfigError(
            f"model folder {folder}",
            f"has no {what}",
            "Save the model with `save_pretrained(folder)` (safetensors), its tokenizer beside it",
        )


def encoder_entry(store: Store, encoder: EncoderFiles) -> dict[str, Any]:
    """Write an encoder's files into a store; return what a manifest says of it."""
    files = {name: put_blob(store, name, path.read_bytes()) for name, path in encoder.files.items()}
    return {
        "id": encoder.id,
        "model": encoder.model,
        "pooling": encoder.pooling,
        "max_tokens": encoder.max_tokens,
        "files": files,
    }
