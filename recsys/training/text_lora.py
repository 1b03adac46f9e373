"""Low-rank adapters (LoRA) on the attention of a language model, and the way back to plain weights.

A layer ``W`` becomes ``W + (alpha / rank) B A`` with A (rank, in) and B (out, rank); only A and B
are trained. B begins at zero, so an untrained adapter changes nothing.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recsys.errors import ConfigError
from recsys.training.options import TrainSettings
from recsys.training.text_peers import whole

ATTENTION_LAYERS = (
    ("query", "key", "value"),  # BERT, RoBERTa, XLM-R, ELECTRA
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # Llama, Mistral, Qwen, Gemma, SmolLM
    ("q_lin", "k_lin", "v_lin", "out_lin"),  # DistilBERT
    ("query_proj", "key_proj", "value_proj"),  # DeBERTa
    ("Wqkv", "Wo"),  # ModernBERT
    ("query_key_value",),  # GPT-NeoX, Falcon, BLOOM
    ("q", "k", "v", "o"),  # MPNet, T5
)
"""Names of the attention projections, one row a family; the first that fits a model is taken."""

ADAPTER = "default"
_BASE = "base_layer."
_REMEDY = "Name linear layers in train.lora_targets, or train all weights with train.stage=full"


def add_lora(model: nn.Module, settings: TrainSettings) -> None:
    """Put adapters into a model and freeze all else.

    Args:
        model: changed in place.
        settings: rank, scale, dropout and targets; ``seed`` draws the adapters' beginnings.

    Raises:
        ConfigError: if peft is not installed, the model has none of the layers named in
            ``train.lora_targets``, or none is named and its attention is of no known family.
    """
    targets = lora_targets(model, settings.lora_targets)
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "train.stage = lora", "needs peft", "pip install 'halflife[train]'"
        ) from error
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):  # peft draws the beginnings too, from the global one
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    _draw(model, settings.seed)


def lora_targets(model: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """Names of the linear layers that get adapters.

    Args:
        model: a language model.
        wanted: last parts of their names; empty = the attention projections.

    Raises:
        ConfigError: if there are none.
    """
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    missing = sorted(set(wanted) - linear)
    if missing:
        raise ConfigError(
            f"train.lora_targets = {', '.join(wanted)}",
            f"{type(model).__name__} has no linear layer {', '.join(missing)}",
            f"It has {', '.join(sorted(linear))}",
        )
    families = (wanted,) if wanted else ATTENTION_LAYERS
    for family in families:
        if linear.issuperset(family):
            return list(family)
    raise ConfigError(
        f"model {type(model).__name__}",
        f"has no attention projections of a known name; its linear layers are "
        f"{', '.join(sorted(linear)) or 'none'}",
        _REMEDY,
    )


def lora_dropouts(model: nn.Module) -> list[nn.Module]:
    """The dropout layers of the adapters."""
    return [m for name, m in model.named_modules() if name.endswith(".lora_dropout")]


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model with its adapters merged, under the names that it had without them.

    The model itself is not changed. Sharded weights are gathered, for which every worker must
    call this.

    Args:
        model: with adapters or without.

    Returns:
        Name -> tensor on the CPU.
    """
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    weights: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if ".lora_" in name:
                continue
            tensor = whole(value)
            layer = layers.get(name.removesuffix(f".{_BASE}weight"))
            if layer is not None:
                tensor = tensor + _delta(layer)
            weights[name.replace(_BASE, "")] = tensor.cpu().contiguous()
    return weights


def _delta(layer: Any) -> Tensor:
    low, high = (whole(part[ADAPTER].weight) for part in (layer.lora_A, layer.lora_B))
    return (high @ low) * float(layer.scaling[ADAPTER])


def _draw(model: nn.Module, seed: int) -> None:
    """Equal seeds begin equally, whatever else the process has drawn."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_A." in name:
                drawn = torch.empty(weight.shape)
                nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
                weight.copy_(drawn)
