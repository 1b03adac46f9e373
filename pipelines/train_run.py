"""A training run in the store: what it was asked, how far it has come, and its checkpoints.

    training/<tenant>/<name>/CURRENT              pointer: the run's identity, plan and checkpoints
    training/<tenant>/<name>/state/<hash>.safetensors   network, optimiser, schedule, generators
    training/<tenant>/<name>/rows/...             users' histories, staged for the run

Files are content-addressed and written first; then the pointer is swapped. Nothing is pickled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pipelines.train_phases import Progress
from recsys.errors import ChecksumError, ConfigError, ConflictError, NotFoundError
from recsys.settings import Settings
from recsys.store import Store, digest

FORMAT_VERSION = 1
VOLATILE = (
    "budget_s",
    "min_workers",
    "max_workers",
    "cpus_per_worker",
    "use_gpu",
    "parallel",
    "max_failures",
    "checkpoint_every_s",
    "n_checkpoints",
    "mlflow_uri",
    "n_log_steps",
)
"""Settings of training that a resumed run may change: they say where it runs, not what it does."""

Tensors = dict[str, Tensor]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def identity_of(settings: Settings, until: float | None) -> dict[str, Any]:
    """What makes a run the same run: everything that its result depends on.

    Args:
        settings: of the job.
        until: the ``--until`` that was asked for.
    """
    sections = ("data", "encoder", "interest", "trend", "model", "train")
    tree: dict[str, Any] = settings.model_dump(mode="json", include=set(sections))
    tree["train"] = {k: v for k, v in tree["train"].items() if k not in VOLATILE}
    tree["ranking"] = {"validation_share": settings.ranking.validation_share}
    return {**tree, "until": until}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines ``train.seed: 17 -> 18`` of what differs between two identities.

    >>> differences({"train": {"seed": 17}}, {"train": {"seed": 18}})
    ['train.seed: 17 -> 18']
    """
    lines: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines


@dataclass(frozen=True)
class Run:
    """One run of a tenant; cheap, pickles, and is handed to the workers.

    Raises:
        ConfigError: if the name cannot be part of a path.
    """

    store: Store
    tenant: str
    name: str
    owner: str = ""
    """The job that may write to it: of two jobs the one that came last."""
    n_checkpoints: int = 2
    """Checkpoints kept."""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ConfigError(f"run name {self.name!r}", "is no name", "Use letters, digits, . _ -")

    @property
    def prefix(self) -> str:
        """Where the run stands in the store."""
        return f"training/{self.tenant}/{self.name}"

    def state(self) -> dict[str, Any] | None:
        """What the pointer says; None before the first run of this name."""
        found, _ = self.store.read_pointer(self.pointer)
        if found is not None and found["format_version"] > FORMAT_VERSION:
            raise ConfigError(
                f"run {self.prefix}", f"has format {found['format_version']}", "Use --fresh"
            )
        return found

    def begin(self, identity: Mapping[str, Any], plan: Mapping[str, Any]) -> Run:
        """Start anew: forget what an earlier run of this name left behind."""
        old, token = self.store.read_pointer(self.pointer)
        value = {
            "format_version": FORMAT_VERSION,
            "owner": self.owner,
            "identity": dict(identity),
            "plan": dict(plan),
            "checkpoints": [],
            "best": None,
            "result": None,
            "finished": None,
        }
        self.store.swap_pointer(self.pointer, value, token)
        if old is not None:
            self._sweep(())
        return self

    def take_over(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """Go on with an unfinished run of this name; its plan, or None where there is none.

        Raises:
            ConfigError: if that run was asked something else.
        """
        found, token = self.store.read_pointer(self.pointer)
        if self.state() is None or found is None or found["finished"] is not None:
            return None
        changed = differences(found["identity"], identity)
        if changed:
            raise ConfigError(
                f"run {self.name} of {self.store.uri}",
                f"is unfinished and was started with other settings ({'; '.join(changed)})",
                "Give the old ones to resume it, --fresh to start anew, or another --name",
            )
        self.store.swap_pointer(self.pointer, {**found, "owner": self.owner}, token)
        plan: dict[str, Any] = found["plan"]
        return plan

    def spent_s(self) -> float:
        """Seconds of training up to the newest checkpoint; 0 before the first."""
        state = self.state()
        saved = [] if state is None else state["checkpoints"]
        return float(saved[0]["progress"]["spent_s"]) if saved else 0.0

    def save(self, tensors: Tensors, progress: Progress) -> None:
        """Write a checkpoint; of the older ones the last few stay.

        Raises:
            ConflictError: if another job took the run over.
        """
        entry = self._put(tensors, progress)
        value = self._change(
            lambda old: {**old, "checkpoints": [entry, *old["checkpoints"]][: self.n_checkpoints]}
        )
        self._sweep((*value["checkpoints"], value["best"], value["result"]))

    def save_best(self, tensors: Tensors, progress: Progress) -> None:
        """Write the network with the best validation figure."""
        entry = self._put(tensors, progress)
        self._change(lambda old: {**old, "best": entry})

    def latest(self) -> tuple[Progress, Tensors] | None:
        """The newest checkpoint that is sound; None where there is none.

        One that was cut or lost is taken off the pointer: the one before it will do.
        """
        state = self.state()
        for entry in [] if state is None else state["checkpoints"]:
            try:
                return self._read(entry)
            except (ChecksumError, NotFoundError):
                self._change(
                    lambda old, lost=entry: {
                        **old,
                        "checkpoints": [c for c in old["checkpoints"] if c != lost],
                    }
                )
        return None

    def best(self) -> tuple[Progress, Tensors] | None:
        """The network with the best validation figure."""
        state = self.state()
        return None if state is None or state["best"] is None else self._read(state["best"])

    def save_result(
        self, tensors: Tensors, encoder: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Write what a bundle is made of.

        Args:
            tensors: the trained model.
            encoder: blob entries of the tuned language model; None = none was tuned.
        """
        data = _bytes(tensors)
        path = self.store.put_content(f"{self.prefix}/state", data, ".safetensors")
        entry = {"path": path, "sha256": digest(data), "encoder": encoder}
        self._change(lambda old: {**old, "result": entry})

    def result(self) -> tuple[Tensors, dict[str, Any] | None]:
        """What ``save_result`` wrote.

        Raises:
            NotFoundError: if training has not come to its end.
        """
        state = self.state()
        if state is None or state["result"] is None:
            raise NotFoundError(f"result of run {self.prefix}", "is not there", "Run train again")
        entry = state["result"]
        tensors: Tensors = load_tensors(self.store.read(entry["path"], entry["sha256"]))
        return tensors, entry["encoder"]

    def save_pilot(self, tensors: Tensors) -> None:
        """Write the model of the pilot, which has not learned from the tail."""
        data = _bytes(tensors)
        path = self.store.put_content(f"{self.prefix}/state", data, ".safetensors")
        self._change(lambda old: {**old, "pilot": {"path": path, "sha256": digest(data)}})

    def pilot(self) -> Tensors | None:
        """What ``save_pilot`` wrote; None where nothing did."""
        state = self.state()
        entry = None if state is None else state.get("pilot")
        if entry is None:
            return None
        found: Tensors = load_tensors(self.store.read(entry["path"], entry["sha256"]))
        return found

    def finish(self, figures: Mapping[str, Any]) -> None:
        """Mark the run as complete and remove its checkpoints and rows."""
        self._change(
            lambda old: {
                **old,
                "checkpoints": [],
                "best": None,
                "result": None,
                "pilot": None,
                "finished": dict(figures),
            }
        )
        self._sweep(())

    def owned_by(self, owner: str) -> Run:
        """The same run in the hands of a job."""
        return replace(self, owner=owner)

    @property
    def pointer(self) -> str:
        """Path of what says where the run stands."""
        return f"{self.prefix}/CURRENT"

    def _put(self, tensors: Tensors, progress: Progress) -> dict[str, Any]:
        data = _bytes(tensors)
        path = self.store.put_content(f"{self.prefix}/state", data, ".safetensors")
        return {"path": path, "sha256": digest(data), "progress": progress.to_json()}

    def _read(self, entry: Mapping[str, Any]) -> tuple[Progress, Tensors]:
        data = self.store.read(entry["path"], entry["sha256"])
        return Progress.from_json(entry["progress"]), load_tensors(data)

    def _change(self, change: Any) -> dict[str, Any]:
        found, token = self.store.read_pointer(self.pointer)
        if found is None or found["owner"] != self.owner:
            raise ConflictError(
                f"run {self.prefix}", "was taken over by another job", "Let that one finish"
            )
        value: dict[str, Any] = change(found)
        self.store.swap_pointer(self.pointer, value, token)
        return value

    def _sweep(self, kept: tuple[Mapping[str, Any] | None, ...]) -> None:
        """Remove checkpoints that are not named; the rows too where nothing is."""
        paths = {entry["path"] for entry in kept if entry is not None}
        found = self.store.paths(f"{self.prefix}/state")
        if not kept:
            found += self.store.paths(f"{self.prefix}/rows")
        for path in found:
            if path not in paths:
                self.store.delete(path)


def _bytes(tensors: Tensors) -> bytes:
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return bytes(save_tensors(whole))
