"""Settings: one frozen tree, typed, ranged, with units in the names.

Strength: defaults < YAML file < environment ``RECSYS__SECTION__FIELD`` < ``--set section.field=x``.
``load`` runs once per process, in the entry point; components receive their own section.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from recsys.coldstart.options import ColdstartSettings
from recsys.errors import ConfigError
from recsys.graph.options import GraphSettings
from recsys.ranker.options import RankerSettings
from recsys.reranking.options import RerankingSettings
from recsys.section import HalfLives, Section, Share
from recsys.serving_options import ServingSettings
from recsys.sources.names import check_quotas
from recsys.training.options import ModelSettings, TrainSettings
from recsys.wishes.wish import WISH

HOUR_S = 3_600.0
DAY_S = 86_400.0

ENVIRONMENT_PREFIX = "RECSYS__"


class DataSettings(Section):
    """What counts as a sound event, and how the store is cut."""

    n_partitions: PositiveInt = 64
    """Partitions of the users; fixed when a store is created."""
    kinds: tuple[str, ...] = (
        "impression", "view", "click", "play", "like", "dislike", "save", "share", "cart",
        "purchase", "rating", "skip", "dismiss", "search", "comment",
    )  # fmt: skip
    """Event kinds that are accepted."""
    itemless_kinds: tuple[str, ...] = ("search",)
    """Kinds that may come without an item."""
    passive_kinds: tuple[str, ...] = ("impression",)
    """Kinds in which the user did nothing: such an item does not count as seen."""
    max_bad_share: Share = 0.05
    """Share of quarantined rows above which a job fails before it publishes anything."""
    max_future_s: NonNegativeFloat = 300.0
    """Seconds that an event's time may lie ahead; within it the time is clamped to now."""
    max_late_s: PositiveFloat = 7 * DAY_S
    """Seconds after which a live event is refused as too old (such events come by ingest)."""
    retention_days: PositiveFloat | None = None
    """Days after which ``compact`` removes events from archive and ledger; None = it never does."""
    max_id_bytes: PositiveInt = 512
    """Longest id, in UTF-8 bytes."""
    max_text_bytes: PositiveInt = 16_384
    """Longest text of an event or item, in UTF-8 bytes."""

    @field_validator("kinds")
    @classmethod
    def _wishes_are_ours(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if WISH in kinds:
            raise ValueError(f"{WISH} is what users wish of their interests; take another word")
        return kinds

    @model_validator(mode="after")
    def _late_events_are_retained(self) -> Self:
        """What was removed must not be able to come again as a late event, and count twice."""
        least = (self.max_late_s + self.max_future_s) / DAY_S + 1.0
        if self.retention_days is not None and self.retention_days < least:
            raise ValueError(f"retention_days must be at least {least:.2f}, a day past max_late_s")
        return self


class EncoderSettings(Section):
    """The language model that reads what items say."""

    model: str = "minilm-l6"
    """``minilm-l6`` (comes as a PyPI wheel), ``smollm2-135m``, a local folder or a hub name."""
    pooling: Literal["cls", "mean", "last"] = "mean"
    """How token vectors become one text vector."""
    max_tokens: PositiveInt = 96
    """Longest text in tokens; what is longer is cut."""
    batch_tokens: PositiveInt = 4_096
    """Tokens in one forward pass, padding included; texts are bucketed by length."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of each actor that encodes a catalog, shares allowed; 0 = encode on CPUs."""
    n_dims: PositiveInt = 64
    """Dimensions of an item vector after projection by PCA."""


class InterestSettings(Section):
    """How events become evidence, and how evidence fades."""

    half_lives_s: HalfLives = (
        HOUR_S,
        6 * HOUR_S,
        DAY_S,
        4 * DAY_S,
        14 * DAY_S,
        45 * DAY_S,
        150 * DAY_S,
        500 * DAY_S,
    )
    """The bank of half-lives for positive evidence."""
    negative_half_lives_s: HalfLives = (7 * DAY_S, 90 * DAY_S)
    """The bank for negative evidence."""
    max_importance: PositiveFloat = 4.0
    """Upper bound ``a_max`` of one event's importance."""
    importance: dict[str, NonNegativeFloat] = {
        "view": 0.3,
        "click": 1.0,
        "play": 1.0,
        "like": 2.0,
        "save": 2.0,
        "share": 2.0,
        "cart": 1.5,
        "purchase": 2.0,
        "rating": 1.5,
        "comment": 1.0,
        "search": 1.0,
    }
    """Importance of positive evidence by kind; kinds that stand in neither table weigh nothing."""
    negative_importance: dict[str, NonNegativeFloat] = {
        "dislike": 2.0,
        "dismiss": 1.0,
        "skip": 0.3,
        "rating": 1.0,
    }
    """Importance of negative evidence by kind (a low rating is negative)."""
    positive_kinds: tuple[str, ...] = (
        "click", "play", "like", "save", "share", "cart", "purchase", "rating",
    )  # fmt: skip
    """Kinds that count for trend and are right answers; a rating from ``rating_positive_min``."""
    rating_positive_min: float = 3.5
    """A rating of at least this is positive evidence, and a positive event in evaluation."""
    rating_negative_max: float = 2.5
    """A rating of at most this is negative evidence; between the two it is weakly positive."""
    confidence_mass: PositiveFloat = 3.0
    """``m_0``: the mass at which half the confidence is reached."""
    n_recent: PositiveInt = 64
    """Recent events kept per user, for reasons and refolds."""
    n_shown: NonNegativeInt = 32
    """Latest impressions kept per user, for fatigue."""


class TrendSettings(Section):
    """Decayed popularity of items."""

    half_lives_s: HalfLives = (DAY_S, 3 * DAY_S, 10 * DAY_S, 30 * DAY_S, 120 * DAY_S, 3_650 * DAY_S)
    """Half-lives of item popularity; the last one is near to all-time popularity."""


class RetrievalSettings(Section):
    """Finding candidates among all items."""

    sources: Annotated[dict[str, NonNegativeInt], AfterValidator(check_quotas)] = {
        "interest": 500,
        "trend": 500,
        "neighbours": 500,
        "fresh": 500,
        "graph": 0,
        "statement": 500,
        "segments": 0,
        "follows": 200,
    }
    """Sources of a large catalog, with how many candidates each brings beyond ``serving.max_k``
    (``interest``: for each query vector); one that is left out, or has 0, is not asked. Catalogs
    smaller than ``exact_below`` are scored as a whole. A process may set others than its bundle."""
    n_candidates: PositiveInt = 500
    """Candidates, best first, that the rerank steps choose from."""
    exact_below: PositiveInt = 50_000
    """Catalogs smaller than this are searched exactly; larger ones by HNSW."""
    hnsw_links: PositiveInt = 32
    """Links per node of the HNSW graph."""
    hnsw_ef_construction: PositiveInt = 200
    """Width of the search while the graph is built."""
    hnsw_ef_search: PositiveInt = 256
    """Width of the search at query time."""


class RankingSettings(Section):
    """Weights of the parts of a score; ``None`` = chosen on a validation tail by ``embed``."""

    interest: tuple[NonNegativeFloat, ...] | None = None
    """One weight per half-life of the interest bank."""
    negative: tuple[NonNegativeFloat, ...] | None = None
    """One weight per half-life of the negative bank."""
    trend: tuple[NonNegativeFloat, ...] | None = None
    """One weight per half-life of the trend."""
    validation_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of the events, the latest, on which the weights are chosen."""
    n_validation_queries: PositiveInt = 2_000
    """Queries drawn from that tail."""


class EvaluationSettings(Section):
    """How quality is measured."""

    n_bootstrap: PositiveInt = 1_000
    """Resamples of the users for the intervals."""
    max_queries: PositiveInt = 20_000
    """Most queries scored; above it whole users are drawn at random, and the report says so."""
    seed: int = 17
    """Seed of every draw."""


class Settings(Section):
    """All settings of Halflife."""

    data: DataSettings = DataSettings()
    encoder: EncoderSettings = EncoderSettings()
    interest: InterestSettings = InterestSettings()
    trend: TrendSettings = TrendSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ranking: RankingSettings = RankingSettings()
    ranker: RankerSettings = RankerSettings()
    reranking: RerankingSettings = RerankingSettings()
    graph: GraphSettings = GraphSettings()
    coldstart: ColdstartSettings = ColdstartSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    serving: ServingSettings = ServingSettings()


def load(
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
) -> Settings:
    """Resolve the settings of a process.

    Args:
        path: a YAML file, or None.
        environ: environment variables; those that start with ``RECSYS__`` are read.
        assignments: ``section.field=value`` strings; values are YAML.

    Raises:
        ConfigError: for a missing file, an unknown key or a value out of range.

    >>> load(assignments=["serving.n_shards=3"]).serving.n_shards
    3
    """
    tree = _from_file(path) if path is not None else {}
    for name, value in sorted((environ or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _assign(tree, keys, value, name)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}", "has no value", "Write section.field=value")
        _assign(tree, key.strip().split("."), value, f"--set {assignment}")
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"setting {place} = {first['input']!r}",
            first["msg"],
            "`python -m cluster.local settings` lists every setting with its unit",
        ) from error


def _from_file(path: str | Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"settings file {path}", "does not exist", "Check --config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path}", f"is no YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"settings file {path}", "is not a mapping of sections")
    return {section: fields for section, fields in tree.items() if fields is not None}


def _assign(tree: dict[str, Any], keys: Sequence[str], value: str, origin: str) -> None:
    if len(keys) < 2 or not all(keys):
        raise ConfigError(origin, "does not name section and field", "Write section.field")
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(origin, f"{key} is not a section")
    try:
        tree[keys[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(origin, f"value is no YAML: {error}") from error
