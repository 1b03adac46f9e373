"""Rest for what schedules a stream.

While blocks are ready and nobody may read them yet, Ray Data's scheduling loop runs without a
pause: half a core, which training on the same machine goes without. A backpressure policy is asked
in each of its rounds; this one holds nothing back, and takes a nap.
"""

from __future__ import annotations

import time
from typing import Any

from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

ROUND_S = 0.05
"""Rest in each round: a block waits as long, at most, and several are read ahead."""


class Rest(BackpressurePolicy):  # type: ignore[misc]
    """Sleeps once a round, where the first operator of a stream is asked for."""

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        """No limit."""
        if len(op.input_dependencies) == 0:
            time.sleep(ROUND_S)
        return None


def let_rest(context: DataContext) -> None:
    """Let the executor of a stream with this context rest in each round."""
    policies = [*ENABLED_BACKPRESSURE_POLICIES, Rest]
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)
