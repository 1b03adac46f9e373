"""The Serve application: ``serve run serving.app:build store=... ledger=...``.

Two deployments: ``Gateway`` answers HTTP, ``Encoder`` holds the language model. The profile pool is
no deployment: each gateway makes sure that it runs (``ensure_pool``) and asks its actors.
"""

# no `from __future__ import annotations`: Serve looks for the class AppArgs in build's signature
import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.config import BackpressureConfig
from ray.serve.exceptions import RayServeException
from ray.serve.grpc_util import RayServegRPCContext
from ray.serve.handle import DeploymentHandle

from recsys.archive import store_partitions
from recsys.bundle import Bundle, load_bundle
from recsys.bundle_manifest import current_bundle_id, load_manifest
from recsys.errors import NotFoundError, UnavailableError
from recsys.ledger import open_ledger
from recsys.rights.receipts import registered_key
from recsys.schema import DEFAULT_TENANT
from recsys.settings import Settings
from recsys.store import Store
from serving.api.admission import RETRY_AFTER_S
from serving.api.routes import create_app
from serving.auth.board import Board
from serving.auth.exposure import check_exposure
from serving.auth.guard import Guard, new_guard
from serving.auth.limits import Limiter
from serving.catalog import CatalogDesk
from serving.drift_meters import RayDriftMeters
from serving.encoder_service import EncoderService
from serving.gateway import Gateway
from serving.live import LiveCatalog
from serving.observability.logs import join_serve_log
from serving.observability.pool import MeteredPool, metered_encode
from serving.observability.ray_meters import RayEncoderMeters, RayGatewayMeters
from serving.people import People
from serving.pool import PoolSpec, ensure_pool
from serving.rpc.halflife_pb2 import IngestReply, IngestRequest, RecommendRequest, Slate
from serving.rpc.servicer import Servicer
from serving.rules import RuleDesk
from serving.scaling import WAITING, LoopWatch, gateways, replicas
from serving.stage import Front, Stage
from serving.users import UserDesk
from serving.word_reader import Encode

MAX_ONGOING_REQUESTS = 200
MAX_QUEUED_REQUESTS = 1_000
"""Requests that may wait in a proxy until a replica has room."""
MAX_TOKENS = 4_096
"""About as many tokens the encoder reads at once, of however many callers."""
CHARACTERS_OF_TOKEN = 4
PSEUDONYMS = "audit-pseudonyms"
"""Name of the key, in the ledger's registry, that user ids are hashed with in the audit log."""
LOGGING = {"encoding": "JSON", "enable_access_log": False}
"""Serve's access log records paths, and user ids stand in paths."""


class AppArgs(BaseModel):
    """Arguments of the application."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    store: str
    """URI of the store."""
    ledger: str
    """Database URL of the ledger."""
    tenant: str = DEFAULT_TENANT
    """Whose profiles and items."""
    bundle_id: str | None = None
    """Which bundle; None = the one that is published when the application is built."""
    settings: Settings = Settings()
    """Sections and fields that differ from the defaults."""


def pool_spec(args: AppArgs) -> PoolSpec:
    """The pool that an application stands on.

    Raises:
        NotFoundError: if nothing was ingested, or no bundle is published.
    """
    store = Store(args.store)
    bundle_id = args.bundle_id or current_bundle_id(store, args.tenant)
    if bundle_id is None:
        raise NotFoundError(
            f"bundle of tenant {args.tenant} in {store.uri}",
            "does not exist",
            "Run `python -m pipelines.embed --store ...` first",
        )
    load_manifest(store, args.tenant, bundle_id)
    return PoolSpec(
        store_uri=store.uri,
        ledger_url=args.ledger,
        tenant=args.tenant,
        bundle_id=bundle_id,
        n_partitions=store_partitions(store),
        settings=args.settings,
    )


def build(args: AppArgs) -> Application:
    """The application, pinned to a bundle.

    Raises:
        NotFoundError: if nothing was ingested, or no bundle is published.
    """
    spec, scaling = pool_spec(args), args.settings.serving.scaling
    encoder = serve.deployment(
        EncoderReplica,
        name="Encoder",
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options=_resources(0.1),
        logging_config=LOGGING,
        **replicas(scaling.min_encoders, scaling.max_encoders, scaling),
    ).bind(spec.store_uri, spec.tenant, spec.bundle_id)
    gateway = serve.deployment(
        serve.ingress()(GatewayReplica),
        name="Gateway",
        max_ongoing_requests=2 * args.settings.serving.max_concurrent_requests,
        max_queued_requests=MAX_QUEUED_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_S),
        graceful_shutdown_timeout_s=5.0,
        ray_actor_options=_resources(0.1),
        logging_config=LOGGING,
        **gateways(scaling),
    )
    application: Application = gateway.bind(spec, encoder)
    return application


class GatewayReplica:
    """One replica: it opens the bundle, makes sure of the pool, and serves the routes.

    Args:
        spec: of the pool.
        encoder: handle of the ``Encoder`` deployment.
    """

    def __init__(self, spec: PoolSpec, encoder: DeploymentHandle) -> None:
        store = Store(spec.store_uri)
        bundle = load_bundle(store, spec.tenant, spec.bundle_id)
        has_encoder = bundle.manifest["encoder"] is not None
        timeout_s = spec.settings.serving.request_timeout_s
        encode: Encode | None = partial(_encode, encoder, timeout_s) if has_encoder else None
        people = People(store, spec.tenant, spec.settings.coldstart.max_known_users)
        pool = ensure_pool(spec)
        drift = RayDriftMeters()
        meters = self._meters = RayGatewayMeters()
        made_at, offset_s = bundle.manifest["created_at"], spec.settings.serving.clock_offset_s
        metered = MeteredPool(pool, meters, made_at, clock_offset_s=offset_s)
        encode = None if encode is None else metered_encode(encode, meters)
        now = partial(_now, offset_s)
        users = UserDesk(store, spec.ledger_url, people, spec.settings, now)
        desk = CatalogDesk(store, spec.tenant, spec.settings, now)

        def front(served: Bundle) -> Front:
            rules = RuleDesk(store, served, time.monotonic)
            made = (spec.settings, time.time, encode, rules, drift, people)
            return Front.of(Gateway(served, metered, *made), users, desk)

        self._live = LiveCatalog(bundle, desk, encode, front)
        self._stage = Stage(self._live.first())
        self._guard = _guard(spec)
        self._servicer = Servicer(self._stage, self._guard)
        self._watch = LoopWatch()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What ``ByWaiting`` goes by; Serve asks for it."""
        return {WAITING: self._watch.late_s()}

    async def Recommend(  # noqa: N802 - the name in the protocol
        self, asked: RecommendRequest, grpc_context: RayServegRPCContext
    ) -> Slate:
        """See ``Servicer.recommend``."""
        return await self._servicer.recommend(asked, grpc_context)

    async def Ingest(  # noqa: N802 - the name in the protocol
        self, asked: IngestRequest, grpc_context: RayServegRPCContext
    ) -> IngestReply:
        """See ``Servicer.ingest``."""
        return await self._servicer.ingest(asked, grpc_context)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The routes; Serve asks for them once this replica is made, and adds request ids."""
        join_serve_log()
        works = [self._follow, self._watch.follow]
        return create_app(self._stage, self._meters, False, self._guard, works)

    async def _follow(self) -> None:
        await self._live.follow(self._stage)


def _n_tokens(calls: list[list[str]]) -> int:
    """About how many tokens calls have; one alone is never too many."""
    n = sum(2 + len(text) // CHARACTERS_OF_TOKEN for call in calls for text in call)
    return n if len(calls) > 1 else min(n, MAX_TOKENS)


class EncoderReplica:
    """One replica of the encoder, with its logs and metrics.

    Args:
        store_uri: where the bundle is.
        tenant: whose.
        bundle_id: whose encoder.
    """

    def __init__(self, store_uri: str, tenant: str, bundle_id: str) -> None:
        join_serve_log()
        self._service = EncoderService(store_uri, tenant, bundle_id, RayEncoderMeters())

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=MAX_TOKENS, batch_wait_timeout_s=0.0, batch_size_fn=_n_tokens
    )
    async def encode(self, calls: list[list[str]]) -> list[npt.NDArray[np.float32]]:
        """See ``EncoderService``; what comes in while the model reads is read together next."""
        texts = [text for call in calls for text in call]
        vectors = await self._service.encode(texts)
        bounds = np.cumsum([0, *map(len, calls)]).tolist()
        return [vectors[start:end] for start, end in itertools.pairwise(bounds)]


async def _encode(
    encoder: DeploymentHandle, timeout_s: float, texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    try:
        async with asyncio.timeout(timeout_s):
            vectors = await encoder.encode.remote(list(texts))
    except (RayServeException, RayError, TimeoutError) as error:
        raise UnavailableError("encoder", "does not answer", "Retry, or send items") from error
    return np.asarray(vectors, np.float32)


def _now(offset_s: float) -> float:
    return time.time() + offset_s


def _guard(spec: PoolSpec) -> Guard | None:
    """The guard of a replica.

    Raises:
        ConfigError: if keys cannot be read, or others reach a service that asks for none.
    """
    serving, tenant = spec.settings.serving, spec.tenant
    check_exposure(serving, _host(), serving.grpc_port)
    if not serving.auth.is_on:
        return None
    limiter = Limiter(Board(spec).take, serving.auth.burst_s)
    with closing(open_ledger(spec.ledger_url)) as ledger:
        secret = bytes.fromhex(registered_key(ledger, PSEUDONYMS, secrets.token_hex(32)))
    return new_guard(serving.auth, tenant, limiter, secret, time.time)


def _host() -> str:
    """The address that Serve's proxies were told to bind."""
    controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    return str(ray.get(controller.get_http_config.remote()).host)


def _resources(num_cpus: float) -> dict[str, Any]:
    return {"num_cpus": num_cpus, "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}}
