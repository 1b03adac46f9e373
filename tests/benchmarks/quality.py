"""How good the learned encoder is, by several protocols, and what stands beside it.

``loo``        leave-one-out on MovieLens-100K, every event positive
``time``       time split, new items, against all baselines (and peers: ``--peers FOLDER``)
``news``       a world in which most right answers are born after training
``recovery``   half-lives of a known law, found again
``cold``       items without any event in training, and what they cost the warm ones
``language``   cold items where the language model learns too
``ablation``   what each piece is worth
``staleness``  weeks since training, kinds of users and items (uses the models of ``time``)
``drift``      events until a slate follows a new taste
``kill``       what the chaos suite found (``--chaos FILE``)

Everything is scored as it is served. Figures of parts that were not asked for are null; tables,
intervals and seeds stand under ``details``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.datasets import DATASETS
from tests.benchmarks.quality_parts.bench import Bench

PARTS = {
    "loo": "loo",
    "time": "time_split",
    "news": "news",
    "recovery": "recovery",
    "cold": "cold",
    "language": "language",
    "ablation": "ablation",
    "staleness": "staleness",
    "drift": "drift",
    "kill": "kill",
}
FIGURES = (
    "loo_ndcg10",
    "loo_hr10",
    "time_ndcg10",
    "time_best_other_ndcg10",
    "time_best_other",
    "cold_hr10",
    "cold_text_hr10",
    "cold_hr100",
    "cold_text_hr100",
    "warm_cost",
    "news_ndcg10",
    "news_best_other_ndcg10",
    "recovery_max_error",
    "kill_ndcg_gap",
    "train_s",
)


def run(arguments: list[str]) -> dict[str, Any]:
    """Measure; return the figures."""
    options = _options(arguments)
    console, started = Console(stderr=True, highlight=False), time.perf_counter()

    def say(text: str) -> None:
        elapsed = time.perf_counter() - started
        console.print(f"[dim]{elapsed:7.1f} s[/] {_plain(text)}", soft_wrap=True)

    bench = Bench(
        datasets=tuple(DATASETS) if options.dataset == "all" else (options.dataset,),
        n_seeds=options.seeds,
        say=say,
        minutes=options.minutes,
        assignments=tuple(options.set),
        max_queries=options.queries,
        peers=options.peers,
        peer_systems=tuple(options.peer_systems),
        chaos=options.chaos,
        scale=options.scale,
        variants=tuple(options.variants),
    )
    figures: dict[str, Any] = dict.fromkeys(FIGURES)
    details: dict[str, Any] = {}
    for name in options.parts:
        console.rule(name)
        begun = time.perf_counter()
        module = importlib.import_module(f"tests.benchmarks.quality_parts.{PARTS[name]}")
        found = module.run(bench)
        seconds = round(time.perf_counter() - begun, 1)
        figures.update({k: v for k, v in found["figures"].items() if figures[k] is None})
        details[name] = {"seconds": seconds, "found": found["details"]}
        if options.out is not None:
            options.out.write_text(json.dumps({**figures, "details": details}), encoding="utf-8")
    return {**figures, "details": details}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks quality")
    parser.add_argument("--dataset", choices=[*DATASETS, "all"], default="movielens-100k")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="about the longest training")
    parser.add_argument("--queries", type=int, default=20_000, help="most queries; users are drawn")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the synthetic worlds")
    parser.add_argument("--peers", type=Path, help="folder of other programs' answers")
    parser.add_argument(
        "--peer-systems", type=_list, default=[], help="run them where their answers are missing"
    )
    parser.add_argument("--chaos", type=Path, help="report of the chaos suite")
    parser.add_argument(
        "--variants", type=_list, default=[], help="of ablation and language; default all"
    )
    parser.add_argument("--out", type=Path, help="also written there, after each part")
    parser.add_argument("--set", action="append", default=[], metavar="section.field=value")
    return parser.parse_args(arguments)


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parts(text: str) -> list[str]:
    """Parts in the order of ``PARTS``."""
    asked = _list(text)
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {','.join(PARTS)}")
    return [name for name in PARTS if name in asked]


def _plain(text: str) -> str:
    """Text in which rich finds no markup."""
    return text.replace("[", r"\[")
