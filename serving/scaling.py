"""How many replicas there shall be: by the requests at once, and by how long they wait.

Requests of a gateway share one loop, so what one waits for its turn is how late the loop is. That
says more than their number: some requests take a hundred times as long as others.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from ray.serve.config import AutoscalingContext

from recsys.scaling_options import ScalingSettings

WAITING = "waiting_s"
"""Name of the metric that gateways report."""
MOST_AT_ONCE = 2.0
"""By which factor the number of replicas may grow at a time for the sake of waiting."""
LOOK_S, KEPT_S = 0.1, 10.0


class ByWaiting:
    """A policy of Serve: as many replicas as both the load and the wait ask for.

    Serve keeps the bounds and the delays.

    Args:
        target_s: seconds that requests may wait for their turn.
    """

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """The wanted number of replicas, and what is to be remembered: nothing."""
        n = context.current_num_replicas
        if n == 0:
            return float(context.target_num_replicas), {}
        by_load = context.total_num_requests / context.config.get_target_ongoing_requests()
        waits = list((context.aggregated_metrics or {}).get(WAITING, {}).values())
        wait_s = sum(waits) / len(waits) if waits else 0.0
        if wait_s <= self._target_s:
            return by_load, {}
        return max(by_load, n * min(wait_s / self._target_s, MOST_AT_ONCE)), {}


class LoopWatch:
    """How late the event loop is: what a request waits for its turn."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque(maxlen=int(KEPT_S / LOOK_S))

    async def follow(self) -> None:
        """Look for ever."""
        while True:
            due = time.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            self._late.append((now, max(0.0, now - due)))

    def late_s(self) -> float:
        """Mean seconds by which the loop was late of late."""
        since = time.monotonic() - KEPT_S
        found = [late for at, late in list(self._late) if at > since]
        return sum(found) / len(found) if found else 0.0


def replicas(fewest: int, most: int, scaling: ScalingSettings) -> dict[str, Any]:
    """Options of a deployment; the load decides between two bounds that differ."""
    if fewest == most:
        return {"num_replicas": most}
    return {
        "autoscaling_config": {
            "min_replicas": fewest,
            "initial_replicas": max(1, fewest),
            "max_replicas": most,
            "target_ongoing_requests": scaling.ongoing_requests,
            "look_back_period_s": scaling.look_back_s,
            "upscale_delay_s": scaling.upscale_delay_s,
            "downscale_delay_s": scaling.downscale_delay_s,
            "downscale_to_zero_delay_s": scaling.encoder_idle_s,
        }
    }


def gateways(scaling: ScalingSettings) -> dict[str, Any]:
    """Options of the gateways' deployment."""
    found = replicas(scaling.min_replicas, scaling.max_replicas, scaling)
    if "autoscaling_config" in found:
        found["autoscaling_config"]["policy"] = {
            "policy_function": "serving.scaling:ByWaiting",
            "policy_kwargs": {"target_s": scaling.waiting_s},
        }
    return found
