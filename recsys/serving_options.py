"""Settings of the online edge: the profile pool and the HTTP service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from recsys.api_options import ApiSettings
from recsys.auth_options import AuthSettings
from recsys.scaling_options import ScalingSettings
from recsys.section import Section
from recsys.tracing_options import TracingSettings


class ServingSettings(Section):
    """The online edge."""

    api: ApiSettings = ApiSettings()
    """Bounds of single requests."""
    auth: AuthSettings = AuthSettings()
    """Who may ask."""
    scaling: ScalingSettings = ScalingSettings()
    """How many replicas answer."""
    host: str = "127.0.0.1"
    """Address that the HTTP proxy binds; beyond the loopback only with ``auth``."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_000
    """Port of the HTTP proxy."""
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port of the gRPC proxy; 0 = none. Serve binds it on every interface, so it needs ``auth``,
    or ``grpc_is_fenced``."""
    grpc_is_fenced: bool = False
    """Whether others than this machine are kept from the gRPC port by a firewall."""
    max_concurrent_requests: PositiveInt = 128
    """Requests that a replica answers at once; what is above is told to come again (429)."""
    n_shards: PositiveInt = 2
    """Actors that share the partitions."""
    shard_cpus: NonNegativeFloat = 0.1
    """Logical CPUs that a shard asks of Ray."""
    lease_s: PositiveFloat = 3.0
    """Seconds that a shard may answer after it last saw in the ledger that a partition is its own;
    whoever takes over a partition from a shard that may still live waits as long."""
    failover_s: PositiveFloat = 15.0
    """Seconds that a shard may be away before its partitions are given to others."""
    standby: bool = False
    """Whether each partition has a warm copy on the shard that takes it over if its owner is gone,
    kept up with the ledger: twice the memory, and no snapshot to load in a takeover."""
    autoscale: bool = False
    """Whether the directory changes the number of shards by their load."""
    min_shards: PositiveInt = 1
    """Fewest shards of an autoscaled pool."""
    max_shards: PositiveInt = 8
    """Most shards of an autoscaled pool."""
    shard_events_per_s: PositiveFloat = 5_000.0
    """Events a second of a shard that autoscaling aims at."""
    shard_queue_s: PositiveFloat = 0.1
    """Mean seconds to an acknowledgement above which a shard is added."""
    shard_memory_mb: PositiveFloat = 4_096.0
    """Resident megabytes of a shard above which one is added."""
    scale_cooldown_s: PositiveFloat = 60.0
    """Seconds between two changes of the number of shards by autoscaling."""
    clock_offset_s: float = 0.0
    """Seconds added to the wall clock: replays an old log as if it were now."""
    moments_per_s: PositiveInt = 20
    """Slates as of now are as of the last of so many moments a second, so that requests of one
    moment share what is the same for all. What a user did since counts all the same."""
    trend_push_s: PositiveFloat = 0.25
    """Seconds between a shard's trend deltas, and between a gateway's pulls."""
    rules_poll_s: PositiveFloat = 5.0
    """Seconds between a gateway's looks for new business rules, moved ranking weights, and users'
    attributes."""
    catalog_poll_s: PositiveFloat = 0.25
    """Seconds between a gateway's looks for items that were written elsewhere."""
    snapshot_every_s: PositiveFloat = 300.0
    """Seconds between snapshots of a changed partition."""
    profile_dtype: Literal["float32", "float16"] = "float32"
    """How profiles stand in memory: sums, or means in half the space (about 2 KiB a user)."""
    max_users_per_partition: PositiveInt | None = None
    """Most users of a partition in memory; those least recently active wait on disk."""
    profile_ttl_days: PositiveFloat | None = None
    """Days behind a partition's latest event after which a user waits on disk; None = never."""
    spill_folder: str | None = None
    """Folder of those who wait on disk, on a local disk; None = the machine's temporary folder."""
    max_k: PositiveInt = 500
    """Longest slate."""
    max_body_bytes: PositiveInt = 1 << 20
    """Largest request body."""
    max_events_per_request: PositiveInt = 1_000
    """Most events in one request."""
    request_timeout_s: PositiveFloat = 10.0
    """Seconds after which a request is given up."""
    attempt_timeout_s: PositiveFloat = 4.0
    """Seconds after which a shard that does not answer is asked again, or the one that took over;
    what it was asked is safe to repeat."""
    tracing: TracingSettings = TracingSettings()
    """Spans."""
