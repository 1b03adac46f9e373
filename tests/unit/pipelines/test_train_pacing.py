"""A stream's executor rests once a round, and is held back by nothing of ours."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import get_backpressure_policies

from pipelines import train_pacing
from pipelines.train_pacing import Rest, let_rest


def test_it_rests_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("time.sleep", rests.append)
    source = SimpleNamespace(input_dependencies=[])
    later = SimpleNamespace(input_dependencies=[source])
    policy = Rest(DataContext(), {}, None)
    assert [policy.max_task_output_bytes_to_read(op) for op in (source, later)] == [None, None]
    assert policy.can_add_input(later)
    assert rests == [train_pacing.ROUND_S]


def test_ray_takes_it_beside_its_own() -> None:
    context = DataContext()
    before = [type(policy) for policy in get_backpressure_policies(context, {}, None)]
    let_rest(context)
    assert [type(p) for p in get_backpressure_policies(context, {}, None)] == [*before, Rest]
