"""Settings of how many replicas answer."""

from __future__ import annotations

from typing import Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from recsys.section import Section


class ScalingSettings(Section):
    """How many replicas answer. Where fewest and most are the same, the number is fixed."""

    min_replicas: PositiveInt = 1
    """Fewest replicas of the gateway."""
    max_replicas: PositiveInt = 1
    """Most replicas of the gateway."""
    min_encoders: NonNegativeInt = 1
    """Fewest replicas of the encoder. 0 = the language model is given up while nobody sends words,
    and whoever sends some first waits until it is loaded."""
    max_encoders: PositiveInt = 1
    """Most replicas of the encoder."""
    ongoing_requests: PositiveFloat = 12.0
    """Requests at once in a replica that scaling aims at."""
    waiting_s: PositiveFloat = 0.05
    """Seconds that a gateway's requests may wait for their turn before a replica is added."""
    upscale_delay_s: NonNegativeFloat = 5.0
    """Seconds that more are wanted before there are more."""
    downscale_delay_s: NonNegativeFloat = 300.0
    """Seconds that fewer are wanted before there are fewer."""
    encoder_idle_s: NonNegativeFloat = 900.0
    """Seconds without words before the last encoder is given up."""
    look_back_s: PositiveFloat = 15.0
    """Seconds of load that are looked at; more than Serve's interval between two reports."""

    @model_validator(mode="after")
    def _bounds_are_bounds(self) -> Self:
        for name, low, high in (
            ("replicas", self.min_replicas, self.max_replicas),
            ("encoders", self.min_encoders, self.max_encoders),
        ):
            if low > high:
                raise ValueError(f"min_{name}={low} is above max_{name}={high}")
        return self
