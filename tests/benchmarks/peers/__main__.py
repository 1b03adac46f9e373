"""Run peers on a folder, in their own environment.

    python -m tests.benchmarks.peers --folder F --systems ease,item-knn,als,sasrec,hstu

Every system is chosen on the validation queries, learns again from all that may be known, answers
the queries, and leaves ``recs_SYSTEM.parquet`` and ``.json`` in ``--out`` (default: the folder).
Progress goes to stderr; one JSON line per system to stdout. All seconds are of the processor, but
those of training on a GPU (``--device cuda``), which are the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np

from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.asking import answers, ndcg
from tests.benchmarks.peers.exchange import Asked, Floats, Log
from tests.benchmarks.peers.grids import SEQUENCES, SYSTEMS, Budget, points
from tests.benchmarks.peers.sequence import Sequence
from tests.benchmarks.peers.shallow import Als, Ease, ItemKnn

SEED = 17


class Material:
    """What is read from a folder.

    Args:
        folder: as ``exchange`` describes it.
        n_validation: the most validation queries that are used, drawn with the seed.
    """

    def __init__(self, folder: Path, n_validation: int) -> None:
        self.log: Log = exchange.read_log(folder)
        self.asked = exchange.read_asked(folder, exchange.TEST, self.log)
        whole = exchange.read_asked(folder, exchange.VALIDATION, self.log)
        rng = np.random.default_rng(SEED)
        chosen = np.sort(rng.permutation(len(whole))[:n_validation])
        self.tail: Asked = _pick(whole, chosen)
        known = self.log.train & self.log.touches
        self.differ = bool((known & ~self.log.positive).any())
        vectors = folder / exchange.VECTORS
        self.vectors: Floats | None = np.load(vectors) if vectors.exists() else None


def main(arguments: list[str]) -> int:
    """Run the systems that are named."""
    options, budget = _options(arguments)
    material = Material(options.folder, options.validation_queries)
    out = options.out or options.folder
    for system in options.systems.split(","):
        if system == "sasrec-text" and material.vectors is None:
            _say(f"{system}: left out, the folder has no {exchange.VECTORS}")
            continue
        run = _sequence if system in SEQUENCES else _shallow
        answer, notes = run(system, material, budget)
        notes["n_queries"] = len(material.asked)
        exchange.write_answer(out, system, answer, material.log, notes)
        sys.stdout.write(json.dumps({"system": system, **notes}) + "\n")
        sys.stdout.flush()
    return 0


def _shallow(system: str, material: Material, _: Budget) -> tuple[Any, dict[str, Any]]:
    log, tried, tune_s = material.log, [], time.process_time()
    for point in points(system, material.differ):
        peer = _shallow_peer(system, point)
        peer.fit(log, log.pilot)
        found = ndcg(answers(peer, log, material.tail, log.pilot)[0], material.tail)
        tried.append({**point, "validation_ndcg10": found})
        _say(f"{system} {point}: {found:.4f}")
    tune_s = time.process_time() - tune_s
    best = max(tried, key=lambda each: each["validation_ndcg10"])
    peer = _shallow_peer(system, {k: v for k, v in best.items() if k != "validation_ndcg10"})
    began = time.process_time()
    peer.fit(log, log.train)
    fit_s = time.process_time() - began
    answer, ask_s = _answered(peer, material)
    return answer, {
        "chosen": best,
        "tried": tried,
        "tune_s": tune_s,
        "fit_s": fit_s,
        "ask_s": ask_s,
        "events_per_s": peer.n_events / fit_s,
    }


def _sequence(system: str, material: Material, budget: Budget) -> tuple[Any, dict[str, Any]]:
    log, tune_s = material.log, time.process_time()
    grid = points(system, material.differ)[: budget.n_points]
    tried = [_trained(system, material, budget, point) for point in grid]
    best = max(tried, key=lambda each: each["validation_ndcg10"])
    if material.differ:
        tried.append(_trained(system, material, budget, {**_point(best), "use": "positive"}))
        best = max(tried, key=lambda each: each["validation_ndcg10"])
    tune_s = time.process_time() - tune_s
    peer = _sequence_peer(system, _point(best), material, budget)
    peer.start(log, log.train)
    peer.train(best["n_epochs"])
    answer, ask_s = _answered(peer, material)
    return answer, {
        "chosen": best,
        "tried": tried,
        "budget": asdict(budget),
        "tune_s": tune_s,
        "fit_s": peer.fit_s,
        "ask_s": ask_s,
        "events_per_s": best["n_epochs"] * peer.n_events / peer.fit_s,
    }


def _trained(
    system: str, material: Material, budget: Budget, point: dict[str, Any]
) -> dict[str, Any]:
    """Train at one point until the validation NDCG stops rising; the best look at it."""
    peer, log = _sequence_peer(system, point, material, budget), material.log
    peer.start(log, log.pilot)
    best, looks = {"validation_ndcg10": -1.0, "n_epochs": 0}, []
    for n_epochs in range(budget.check_every, budget.max_epochs + 1, budget.check_every):
        peer.train(budget.check_every)
        found = ndcg(answers(peer, log, material.tail, log.pilot)[0], material.tail)
        looks.append({"n_epochs": n_epochs, "seconds": peer.fit_s, "ndcg10": found})
        _say(f"{system} {point} epoch {n_epochs}: {found:.4f} after {peer.fit_s:.0f} s")
        if found > best["validation_ndcg10"]:
            best = {"validation_ndcg10": found, "n_epochs": n_epochs}
        waited = (n_epochs - int(best["n_epochs"])) // budget.check_every
        if waited >= budget.patience or peer.fit_s > budget.max_s:
            break
    return {**point, **best, "looks": looks}


def _point(tried: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters alone."""
    results = ("validation_ndcg10", "n_epochs", "looks")
    return {name: value for name, value in tried.items() if name not in results}


def _answered(peer: Any, material: Material) -> tuple[Any, float]:
    began = time.process_time()
    answer = answers(peer, material.log, material.asked, material.log.train)
    return answer, time.process_time() - began


def _shallow_peer(system: str, point: dict[str, Any]) -> Any:
    if system == "als":
        return Als(**point, seed=SEED)
    return {"ease": Ease, "item-knn": ItemKnn}[system](**point)


def _sequence_peer(system: str, point: dict[str, Any], material: Material, budget: Budget) -> Any:
    options = {"n_blocks": 2, "loss": "softmax", "batch_size": budget.batch_size, **point}
    if "temperature" in options:
        options["lightning_module_kwargs"] = {"logits_t": options.pop("temperature")}
    vectors = material.vectors if system == "sasrec-text" else None
    given: dict[str, Any] = {"max_len": budget.max_len, "device": budget.device, "vectors": vectors}
    return Sequence(system, seed=SEED, **given, **options)


def _pick(asked: Asked, rows: Any) -> Asked:
    counts = np.diff(asked.target_bounds)[rows]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    runs = [asked.target[asked.target_bounds[q] : asked.target_bounds[q + 1]] for q in rows]
    target = np.concatenate([*runs, np.zeros(0, np.int64)])
    return Asked(asked.user[rows], asked.ts[rows], asked.end[rows], bounds, target)


def _options(arguments: list[str]) -> tuple[argparse.Namespace, Budget]:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--validation-queries", type=int, default=1_000)
    for part in fields(Budget):
        name = "--" + part.name.replace("_", "-")
        parser.add_argument(name, type=type(part.default), default=part.default)
    options = parser.parse_args(arguments)
    unknown = set(options.systems.split(",")) - set(SYSTEMS)
    if unknown:
        parser.error(f"unknown systems {sorted(unknown)}; there are {', '.join(SYSTEMS)}")
    return options, replace(Budget(), **{f.name: getattr(options, f.name) for f in fields(Budget)})


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
