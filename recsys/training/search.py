"""What a search over settings draws from, and what it finds.

A space names settings of the sections ``model`` and ``train`` and gives each a domain. Trial 0 is
the settings as they stand, so a search never ends below them; trial n > 0 is drawn from (seed, n)
alone, so a search that is resumed or extended asks the very same trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from pydantic import Field, PositiveFloat, TypeAdapter, ValidationError, model_validator

from recsys.errors import ConfigError
from recsys.section import Section
from recsys.settings import Settings

SECTIONS = ("model", "train")
"""Sections that may be searched."""

DONE, STOPPED, CUT, FAILED = "done", "stopped", "cut", "failed"
STATES = (DONE, STOPPED, CUT, FAILED)
"""A trial ended by itself, was behind the others, ran out of the search's time, or cannot train."""


class _Interval(Section):
    @model_validator(mode="after")
    def _rises(self) -> Self:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009 - of the subclasses
        if not low < high:
            raise ValueError(f"low {low} is not below high {high}")
        return self


class LogUniform(_Interval):
    """A number whose logarithm is uniform."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: PositiveFloat
    high: PositiveFloat

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return _rounded(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))


class Uniform(_Interval):
    """A number between two."""

    kind: Literal["uniform"] = "uniform"
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return _rounded(float(rng.uniform(self.low, self.high)))


class Integer(_Interval):
    """A whole number, both ends included."""

    kind: Literal["integer"] = "integer"
    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        """One value."""
        return int(rng.integers(self.low, self.high, endpoint=True))


class Choice(Section):
    """One of some values."""

    kind: Literal["choice"] = "choice"
    values: tuple[Any, ...] = Field(min_length=1)

    def draw(self, rng: np.random.Generator) -> Any:
        """One value."""
        return self.values[int(rng.integers(len(self.values)))]


Domain = LogUniform | Uniform | Integer | Choice
Space = Mapping[str, Domain]
"""``section.field`` -> its domain."""

_SPACE = TypeAdapter(dict[str, Annotated[Domain, Field(discriminator="kind")]])


@dataclass(frozen=True)
class Trial:
    """One setting that was tried."""

    number: int
    values: Mapping[str, Any]
    """``section.field`` -> value; empty = the settings as they stand."""
    curve: tuple[float, ...] = ()
    """Validation NDCG@10 after each epoch."""
    state: str = CUT
    problem: str = ""
    """Why it failed."""
    seconds: float = 0.0

    @property
    def best_ndcg(self) -> float:
        """The highest point of the curve; -1 without any."""
        return max(self.curve, default=-1.0)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to learn from it."""
        return self.state != CUT

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; ``of`` is the inverse."""
        return {**asdict(self), "values": dict(self.values), "curve": list(self.curve)}

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Trial:
        """The inverse of ``as_dict``."""
        return cls(**{**tree, "curve": tuple(tree["curve"])})


def default_space(settings: Settings, n_items: int) -> dict[str, Domain]:
    """What is worth searching for a log: around the settings as they stand.

    Args:
        settings: only what they use is searched.
        n_items: N; negatives are drawn only for large catalogs.
    """
    model, train = settings.model, settings.train
    fewest = max(2, model.n_half_lives // 2)
    space: dict[str, Domain] = {
        "train.learning_rate": _around(train.learning_rate),
        "train.dropout": Uniform(low=0.1, high=0.5),
        "train.stale_shares": Choice(values=((0.25,), (0.5,), (0.75,))),
        "train.batch_events": _halved_or_doubled(train.batch_events),
        "model.n_half_lives": Integer(low=fewest, high=fewest + model.n_half_lives),
        "model.n_hidden": _halved_or_doubled(model.n_hidden),
    }
    if train.weight_decay > 0.0:
        space["train.weight_decay"] = _around(train.weight_decay, factor=10.0)
    if model.learn_half_lives:
        space["train.half_life_rate"] = _around(train.half_life_rate)
    if settings.model.use_id and settings.model.use_text:
        space["train.id_dropout"] = Uniform(low=0.0, high=0.3)
    if n_items >= settings.train.full_softmax_below:
        space["train.n_negatives"] = Choice(values=(1_024, 4_096, 16_384))
    return space


def read_space(text: str, settings: Settings) -> dict[str, Domain]:
    """A space written as YAML: ``train.dropout: {kind: uniform, low: 0.1, high: 0.5}``.

    Raises:
        ConfigError: if it is no space, or names what is no setting or cannot have such a value.
    """
    try:
        space = _SPACE.validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError("search space", f"cannot be read ({error})", _REMEDY) from error
    if len(space) == 0:
        raise ConfigError("search space", "is empty", _REMEDY)
    for name, domain in space.items():
        for value in _ends(domain):
            with_values(settings, {name: value})
    return space


def dumped(space: Space) -> dict[str, Any]:
    """A space as JSON."""
    return {name: domain.model_dump(mode="json") for name, domain in sorted(space.items())}


def point(space: Space, seed: int, number: int) -> dict[str, Any]:
    """The values of a trial; those of trial 0 are the settings as they stand: none.

    >>> point({"train.dropout": Uniform(low=0.0, high=0.5)}, seed=1, number=0)
    {}
    """
    if number == 0:
        return {}
    rng = np.random.default_rng([seed, number])
    return {name: space[name].draw(rng) for name in sorted(space)}


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values.

    Raises:
        ConfigError: if a name is no setting of ``SECTIONS``, or a value is out of range.
    """
    tree = settings.model_dump()
    for name, value in values.items():
        section, _, field = name.partition(".")
        if section not in SECTIONS or field not in tree[section]:
            raise ConfigError(f"search over {name}", "is no setting of model or train", _REMEDY)
        tree[section][field] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"search over {place} = {first['input']!r}", first["msg"]) from error


def settings_file(settings: Settings) -> str:
    """Settings as the YAML file that ``--config`` takes: what differs from the defaults."""
    tree = settings.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.safe_dump(tree, sort_keys=True))


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest NDCG; of equals the first; None where none was measured."""
    measured = [trial for trial in trials if len(trial.curve) > 0]
    return max(measured, key=lambda trial: (trial.best_ndcg, -trial.number), default=None)


def _around(value: float, factor: float = 3.0) -> LogUniform:
    return LogUniform(low=value / factor, high=value * factor)


def _halved_or_doubled(value: int) -> Choice:
    return Choice(values=(max(1, value // 2), value, 2 * value))


def _ends(domain: Domain) -> tuple[Any, ...]:
    return domain.values if isinstance(domain, Choice) else (domain.low, domain.high)


def _rounded(value: float) -> float:
    """Four figures: nobody can read more off a search."""
    return float(f"{value:.4g}")


_REMEDY = "Write for example `train.dropout: {kind: uniform, low: 0.1, high: 0.5}`"
