"""What ``publish`` shows to people: tables of the same reports that it prints as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from recsys.settings import DAY_S, HOUR_S


def list_table(report: Mapping[str, Any]) -> Table:
    """Bundles, the newest first; an arrow marks the published one."""
    table = Table(title=f"bundles of {report['tenant']}")
    for name in ("", "bundle", "age", "model", "data until", "items", "NDCG@10", "parent"):
        table.add_column(name)
    table.add_column("profiles", justify="right")
    for line in report["bundles"]:
        mark = "→" if line["current"] else ""
        if "problem" in line:
            table.add_row(mark, line["bundle_id"], "", f"[red]{line['problem']}[/]")
            continue
        ndcg = line["ndcg10"]
        table.add_row(
            mark,
            line["bundle_id"],
            duration(line["age_s"]),
            line["model"],
            moment(line["data_until"]),
            str(line["n_items"]),
            "" if ndcg is None else f"{ndcg:.4f}",
            line["parent"] or "",
            f"{line['n_snapshots']}/{report['n_partitions']}",
        )
    return table


def diff_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Figures, half-lives, and settings that differ."""
    yield _figures(report)
    lives = _pairs("half-lives", report["bundles"])
    for bank, (a, b) in report["half_lives_s"].items():
        lives.add_row(bank, _lives(a), _lives(b))
    yield lives
    if report["settings"]:
        settings = _pairs("settings that differ", report["bundles"])
        for name, (a, b) in report["settings"].items():
            settings.add_row(name, str(a), str(b))
        yield settings


def _figures(report: Mapping[str, Any]) -> Table:
    table = _pairs("figures", report["bundles"])
    table.add_column("b − a, or both")
    table.add_row("model", *report["models"], "")
    table.add_row("data until", *map(moment, report["data_until"]), "")
    ndcg = [None if q is None else q["ndcg10"] for q in report["quality"]]
    table.add_row("NDCG@10 when made", *map(_share, ndcg), _signed(report["ndcg10_difference"]))
    if report["later"] is not None:
        later = report["later"]
        name = f"NDCG@10 since ({later['n_queries']} queries)"
        table.add_row(name, *map(_share, later["ndcg10"]), _signed(later["difference"]["mean"]))
    items = report["items"]
    table.add_row("items", *map(str, items["n_items"]), f"{items['share']:.1%} in both")
    if report["vectors"] is not None:
        drift = report["vectors"]
        said = f"median {drift['median']:.3f}, p95 {drift['p95']:.3f}"
        table.add_row("1 − cosine of item vectors", "", "", said)
        said = f"median {drift['aligned_median']:.3f}, p95 {drift['aligned_p95']:.3f}"
        table.add_row("… after one rotation", "", "", said)
    if report["slates"] is not None:
        slates = report["slates"]
        said = f"{slates['mean']:.1%} of {slates['n_users']} users' slates"
        table.add_row(f"overlap@10 at {moment(slates['as_of'])}", "", "", said)
    return table


def _pairs(title: str, names: Sequence[str]) -> Table:
    table = Table(title=title)
    for name in ("", *names):
        table.add_column(name, overflow="fold")
    return table


def _lives(lives: Sequence[float]) -> str:
    return ", ".join(map(duration, lives))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "not the same questions" if value is None else f"{value:+.4f}"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(5400.0), duration(90.0), duration(864000.0)
    ('1.5 h', '1.5 min', '10.0 d')
    """
    for unit_s, name in ((DAY_S, "d"), (HOUR_S, "h"), (60.0, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.1f} {name}"
    return f"{seconds:.0f} s"


def moment(ts: float) -> str:
    """Unix seconds as a UTC date and time; the year 0 of no data as a dash.

    >>> moment(86400.0), moment(0.0)
    ('1970-01-02 00:00', '–')
    """
    if ts <= 0.0:
        return "–"
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M")
