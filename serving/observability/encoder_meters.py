"""What a replica of the encoder counts."""

from __future__ import annotations


class EncoderMeters:
    """What a replica of the encoder is told of its work; says nothing."""

    def batch(self, n_texts: int, seconds: float) -> None:
        """The language model read a batch."""
