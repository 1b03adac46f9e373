"""Dashboard and alerts: sound for those who read them, and about metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

import serving.observability.ray_meters as gateway_meters
import serving.pool.meters as pool_meters
import serving.stream.metrics as stream_metrics
from cluster.observability import dashboard
from serving import drift_meters

FOLDER = Path(dashboard.__file__).parent
INSTALL = "apt-get install --no-install-recommends prometheus (or `make promtool`)"

WORDS = {
    "consumer", "drift", "group", "method", "outcome", "partition", "reason", "route", "shard",
    "stage", "status", "topic",
}  # fmt: skip
"""All labels; none names a user, an item or a request."""


class Recorded:
    """Takes the place of Ray's metrics, and keeps their names and labels."""

    made: ClassVar[dict[str, tuple[str, tuple[str, ...]]]] = {}

    def __init__(
        self, name: str, text: str = "", *more: Any, tag_keys: tuple[str, ...] = ()
    ) -> None:
        keys = tag_keys or next((one for one in more if isinstance(one, tuple)), ())
        assert text
        self.made[name] = (type(self).__name__, keys)

    def set_default_tags(self, tags: dict[str, str]) -> None:
        pass


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every metric that the code makes: name -> kind and labels."""
    made: dict[str, tuple[str, tuple[str, ...]]] = {}
    for module in (drift_meters, gateway_meters, pool_meters, stream_metrics):
        for kind in ("Counter", "Gauge", "Histogram"):
            if hasattr(module, kind):
                monkeypatch.setattr(module, kind, type(kind, (Recorded,), {"made": made}))
    drift_meters.RayDriftMeters()
    gateway_meters.RayGatewayMeters()
    gateway_meters.RayEncoderMeters()
    pool_meters.RayMeters("shard-0")
    stream_metrics.StreamMetrics({"topic": "t", "group": "g", "consumer": "0"})
    return made


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def exported(metrics: dict[str, tuple[str, tuple[str, ...]]]) -> set[str]:
    """Names as Prometheus has them."""
    names = set()
    for name, (kind, _) in metrics.items():
        ends = ("_bucket", "_sum", "_count") if kind == "Histogram" else ("",)
        total = "_total" if kind == "Counter" and not name.endswith("_total") else ""
        names |= {f"ray_{name}{total}{end}" for end in ends}
    return names


def expressions() -> list[str]:
    panels = dashboard.dashboard()["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*shown, *(rule["expr"] for rule in alerts())]


def test_labels_are_words_of_the_code(metrics: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    assert len(metrics) >= 30
    assert {key for _, keys in metrics.values() for key in keys} <= WORDS


def test_every_expression_is_about_a_metric_that_exists(
    metrics: dict[str, tuple[str, tuple[str, ...]]],
) -> None:
    names = exported(metrics)
    for expression in expressions():
        used = re.findall(r"ray_halflife_\w+", expression)
        assert used and set(used) <= names, (expression, sorted(set(used) - names))


def test_the_dashboard_is_what_its_code_says() -> None:
    assert (FOLDER / "dashboard.json").read_text() == dashboard.text(), (
        "python -m cluster.observability.dashboard > cluster/observability/dashboard.json"
    )
    found = json.loads(dashboard.text())
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids) and all("gridPos" in panel for panel in found["panels"])


def test_every_alert_has_its_page_in_the_runbook() -> None:
    titles = re.findall(r"^## (.+)$", (FOLDER / "RUNBOOK.md").read_text(), re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    pages = []
    for rule in alerts():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "cluster/observability/RUNBOOK.md"
        pages.append(anchor)
    assert sorted(pages) == sorted(anchors)


@pytest.mark.parametrize(
    "words", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")]
)
def test_promtool_finds_the_rules_sound(words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None, f"promtool is not installed: {INSTALL}"
    told = subprocess.run(
        [promtool, *words], check=False, cwd=FOLDER, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None, f"promtool is not installed: {INSTALL}"
    rules = [
        {"record": f"panel:{n}", "expr": one.replace("$__rate_interval", "5m")}
        for n, one in enumerate(expressions())
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    told = subprocess.run(
        [promtool, "check", "rules", file], check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
