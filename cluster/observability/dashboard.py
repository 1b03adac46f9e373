"""The Grafana dashboard, written as code: ``python -m cluster.observability.dashboard > FILE``.

``dashboard.json`` beside this file is its output, to be imported into Grafana as it is.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 8, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One graph."""

    title: str
    unit: str
    series: dict[str, str]
    """Legend -> expression."""


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantile(share: float, metric: str, *by: str) -> str:
    inner = _rate(f"{metric}_bucket", ", ".join(("le", *by)))
    return f"histogram_quantile({share}, {inner})"


def _both(metric: str) -> dict[str, str]:
    return {"p50": _quantile(0.5, metric), "p99": _quantile(0.99, metric)}


ROWS: dict[str, list[Panel]] = {
    "Requests": [
        Panel(
            "Requests", "reqps", {"{{route}}": _rate("ray_halflife_http_requests_total", "route")}
        ),
        Panel(
            "Replies by status",
            "reqps",
            {"{{status}}": _rate("ray_halflife_http_requests_total", "status")},
        ),
        Panel(
            "Time to reply, p99",
            "s",
            {"{{route}}": _quantile(0.99, "ray_halflife_http_seconds", "route")},
        ),
    ],
    "Slates": [
        Panel(
            "Stages, p99",
            "s",
            {"{{stage}}": _quantile(0.99, "ray_halflife_slate_stage_seconds", "stage")},
        ),
        Panel(
            "Slates by outcome",
            "reqps",
            {"{{outcome}}": _rate("ray_halflife_slates_total", "outcome")},
        ),
        Panel(
            "Interests of users",
            "cps",
            {"{{drift}}": _rate("ray_halflife_interest_drift_total", "drift")},
        ),
    ],
    "Freshness": [
        Panel("From event to effect", "s", _both("ray_halflife_event_effect_seconds")),
        Panel(
            "Age of trend and words",
            "s",
            {
                "trend": "max(ray_halflife_trend_age_seconds)",
                "words": "max(ray_halflife_profile_lag_seconds)",
            },
        ),
        Panel("Age of the bundle", "s", {"bundle": "max(ray_halflife_bundle_age_seconds)"}),
    ],
    "Events": [
        Panel(
            "Events by outcome",
            "cps",
            {"{{outcome}}": _rate("ray_halflife_events_total", "outcome")},
        ),
        Panel(
            "Acknowledgement, p99",
            "s",
            {"{{shard}}": _quantile(0.99, "ray_halflife_pool_append_seconds", "shard")},
        ),
        Panel(
            "Commit, p99",
            "s",
            {"{{shard}}": _quantile(0.99, "ray_halflife_pool_commit_seconds", "shard")},
        ),
    ],
    "Pool": [
        Panel(
            "Batches that wait",
            "short",
            {"{{shard}}": "max by (shard) (ray_halflife_pool_queue_batches)"},
        ),
        Panel(
            "Profiles in memory", "short", {"{{shard}}": "max by (shard) (ray_halflife_pool_users)"}
        ),
        Panel("Memory", "bytes", {"{{shard}}": "max by (shard) (ray_halflife_pool_memory_bytes)"}),
    ],
    "Encoder and streams": [
        Panel("Texts of a batch", "short", _both("ray_halflife_encoder_batch_texts")),
        Panel("Time of a batch", "s", _both("ray_halflife_encoder_batch_seconds")),
        Panel(
            "Messages behind", "short", {"{{topic}}": "sum by (topic) (ray_halflife_stream_lag)"}
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    for row, (title, found) in enumerate(ROWS.items()):
        y = row * (HEIGHT + 1)
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place})
        for column, panel in enumerate(found):
            place = {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": y + 1}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_graph(panel)})
    return {
        "uid": "halflife",
        "title": "Halflife",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "tags": ["halflife"],
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def _graph(panel: Panel) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": name,
            }
            for n, (name, expr) in enumerate(panel.series.items())
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
