"""Plain functions spread over Ray Data tasks: JSON in, JSON out, named errors unharmed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import ray.data

from pipelines.job import progress
from recsys import errors
from recsys.errors import RecsysError

Shared = TypeVar("Shared")
Work = Callable[[Shared, Mapping[str, Any]], dict[str, Any]]


def spread(
    title: str, work: Work[Shared], shared: Shared, tasks: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run ``work(shared, task)`` for each task, one CPU each; yield results as they come.

    Args:
        title: of the progress bar.
        work: a module-level function.
        shared: its first argument, sent once per worker.
        tasks: its second argument, as JSON.

    Yields:
        ``(number of the task, result)``, in no particular order.

    Raises:
        RecsysError: the first that a task raised.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"number": n, "task": json.dumps(task)} for n, task in enumerate(tasks)]
    blocks = ray.data.from_items(rows, override_num_blocks=max(1, len(rows)))
    done = blocks.map(partial(_one, work, shared), num_cpus=1)
    with progress(title, len(rows)) as advance:
        for row in done.iter_rows():
            result = json.loads(row["result"])
            if "error" in result:
                name, *arguments = result["error"]
                raise getattr(errors, name)(*arguments)
            advance(1)
            yield row["number"], result


def _one(work: Work[Any], shared: Any, row: dict[str, Any]) -> dict[str, Any]:
    pa.set_cpu_count(1)  # the task asked Ray for one
    try:
        result = work(shared, json.loads(row["task"]))
    except RecsysError as error:
        result = {"error": [type(error).__name__, error.thing, error.problem, error.remedy]}
    return {"number": row["number"], "result": json.dumps(result)}
