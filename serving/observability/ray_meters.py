"""The meters of a gateway and of the encoder as Ray metrics.

Ray exports them at each node's metrics port under the name ``ray_`` + name. To tell one costs 1 to
3 microseconds (``python -m tests.benchmarks observability``), so nothing is held back for later.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

from serving.observability.encoder_meters import EncoderMeters
from serving.observability.meters import GatewayMeters, Outcome, Stage

_REQUEST_SECONDS = [
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.15,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
]
_STAGE_SECONDS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2]
_TEXTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


class RayGatewayMeters(GatewayMeters):
    """Ray metrics of one gateway; the replica's own labels are added by Ray."""

    def __init__(self) -> None:
        request = ("route", "method", "status")
        self._requests = Counter("halflife_http_requests_total", "Requests answered", request)
        self._seconds = Histogram(
            "halflife_http_seconds", "From arrival to the end of the reply",
            _REQUEST_SECONDS, ("route",),
        )  # fmt: skip
        self._stages = Histogram(
            "halflife_slate_stage_seconds", "Stages of a slate", _STAGE_SECONDS, ("stage",)
        )
        self._slates = Counter("halflife_slates_total", "Slates by outcome", ("outcome",))
        self._events = Counter("halflife_events_total", "Events by outcome", ("outcome",))
        self._effect = Histogram(
            "halflife_event_effect_seconds",
            "From a request's arrival until its events are durable and in their users' profiles",
            _REQUEST_SECONDS,
        )
        self._trend_age = Gauge("halflife_trend_age_seconds", "Age of the gateway's trend")
        self._bundle_age = Gauge("halflife_bundle_age_seconds", "Since the bundle was made")
        self._lag = Gauge("halflife_profile_lag_seconds", "How long events wait for their words")
        self._texts = Histogram("halflife_encode_texts", "Texts of one call of the encoder", _TEXTS)
        self._encode = Histogram(
            "halflife_encode_seconds", "A call of the encoder, as the gateway sees it",
            _REQUEST_SECONDS,
        )  # fmt: skip

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """See ``GatewayMeters``."""
        self._requests.inc(1, {"route": route, "method": method, "status": str(status)})
        self._seconds.observe(seconds, {"route": route})

    def stage(self, stage: Stage, seconds: float) -> None:
        """See ``GatewayMeters``."""
        self._stages.observe(seconds, {"stage": stage})

    def slate(self, outcome: Outcome) -> None:
        """See ``GatewayMeters``."""
        self._slates.inc(1, {"outcome": outcome})

    def events(self, accepted: int, duplicates: int, pending: int, erased: int) -> None:
        """See ``GatewayMeters``."""
        told = {
            "accepted": accepted, "duplicate": duplicates, "pending": pending, "erased": erased,
        }  # fmt: skip
        for outcome, n in told.items():
            if n > 0:
                self._events.inc(n, {"outcome": outcome})

    def effect(self, seconds: float) -> None:
        """See ``GatewayMeters``."""
        self._effect.observe(seconds)

    def fresh(self, trend_age: float, bundle_age: float, profile_lag: float) -> None:
        """See ``GatewayMeters``."""
        self._trend_age.set(trend_age)
        self._bundle_age.set(bundle_age)
        self._lag.set(profile_lag)

    def encoded(self, n_texts: int, seconds: float) -> None:
        """See ``GatewayMeters``."""
        self._texts.observe(n_texts)
        self._encode.observe(seconds)


class RayEncoderMeters(EncoderMeters):
    """Ray metrics of one replica of the encoder."""

    def __init__(self) -> None:
        self._texts = Histogram(
            "halflife_encoder_batch_texts", "Texts the model read at once", _TEXTS
        )
        self._seconds = Histogram(
            "halflife_encoder_batch_seconds", "The model's time for a batch", _REQUEST_SECONDS
        )

    def batch(self, n_texts: int, seconds: float) -> None:
        """See ``EncoderMeters``."""
        self._texts.observe(n_texts)
        self._seconds.observe(seconds)
