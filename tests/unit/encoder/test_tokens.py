from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from recsys.encoder.tokens import length_buckets, tokenise
from tests.unit.encoder.models import save_decoder, save_encoder


def test_a_batch_is_padded_to_its_longest_text_and_the_mask_says_where(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_encoder(tmp_path))
    tokens = tokenise(tokenizer, ["red", "green blue apple", "film " * 9], max_tokens=5)
    assert tokens.lengths.tolist() == [3, 5, 5]  # [CLS] and [SEP] stand around each text
    ids, mask = tokens.padded(np.array([1, 0]))
    assert ids[0].tolist() == tokenizer("green blue apple")["input_ids"]
    assert ids[1].tolist() == [*tokenizer("red")["input_ids"], tokens.pad_id, tokens.pad_id]
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


@pytest.mark.parametrize(("eos", "unknown", "pad_id"), [("[SEP]", "[UNK]", 3), (None, None, 0)])
def test_a_tokenizer_without_a_padding_token_pads_with_what_it_has(
    tmp_path: Path, eos: str | None, unknown: str | None, pad_id: int
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_decoder(tmp_path))
    tokenizer.eos_token, tokenizer.unk_token = eos, unknown
    assert tokenizer.pad_token_id is None
    tokens = tokenise(tokenizer, ["red green", "", "blue"], max_tokens=8)
    ids, mask = tokens.padded(np.arange(3))
    assert tokens.lengths.tolist() == [2, 1, 1]
    assert ids[1:].tolist() == [[pad_id, pad_id], [ids[2, 0], pad_id]]
    assert mask.sum(dim=1).tolist() == [2, 1, 1]
    assert tokenizer.pad_token_id is None


def test_no_texts_are_no_tokens(tmp_path: Path) -> None:
    tokens = tokenise(AutoTokenizer.from_pretrained(save_encoder(tmp_path)), [], max_tokens=8)
    assert (len(tokens), len(tokens.flat), tokens.lengths.tolist()) == (0, 0, [])


def test_buckets_hold_each_text_once_and_no_more_tokens_than_allowed(
    rng: np.random.Generator,
) -> None:
    lengths = rng.integers(1, 50, size=500)
    buckets = list(length_buckets(lengths.tolist(), 64))
    assert sorted(np.concatenate(buckets).tolist()) == list(range(500))
    assert all(len(bucket) == 1 or len(bucket) * lengths[bucket].max() <= 64 for bucket in buckets)
    assert list(length_buckets([], 64)) == []


def test_a_text_longer_than_a_batch_stands_alone() -> None:
    assert [bucket.tolist() for bucket in length_buckets([5, 100, 4], 10)] == [[1], [0, 2]]
