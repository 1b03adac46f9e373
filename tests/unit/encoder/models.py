"""Tiny random language models, built in a second from a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

WORDS = ["red", "green", "blue", "apple", "pie", "film", "horror", "romance", "ghost", "house"]
_CONTRACT_WORDS = ["a", "knight", "and", "castle", "garlic", "pasta", "rockets", "in", "space"]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_VOCABULARY = {word: i for i, word in enumerate([*_SPECIAL, *WORDS, *_CONTRACT_WORDS])}


def save_encoder(folder: Path, seed: int = 1) -> Path:
    """A BERT of 2 layers and 16 dimensions."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    _tokenizer(framed=True, pad_token="[PAD]").save_pretrained(folder)
    return folder


def save_decoder(folder: Path, seed: int = 1) -> Path:
    """A Llama of 2 layers and 16 dimensions, whose tokenizer has no padding token."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    LlamaModel(config).save_pretrained(folder)
    _tokenizer(framed=False, eos_token="[SEP]").save_pretrained(folder)
    return folder


def _tokenizer(framed: bool, **special: Any) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordLevel(_VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if framed:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **special)
