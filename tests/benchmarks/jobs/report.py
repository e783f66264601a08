"""The results: kept as JSON, shown as tables, drawn as plots."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import charts
from tests.benchmarks.jobs.heat import Heat
from tests.benchmarks.jobs.systems import HAULWAY, SYSTEMS, System

_PACKAGES = (
    *("celery", "django-celery-results", "rq", "dramatiq", "procrastinate"),
    *("huey", "taskiq", "taskiq-redis", "awa-pg"),
)
_BIAS = "Measured by Haulway's own authors: read the code, run it on your machine, and tell us where a peer is wronged."


class Results:
    """What was measured, in a file that is written after every figure, so that an interrupted run keeps what it has.

    {"systems": {name: {"single": [jobs/s by round], "bulk": …, "run": …, "processor": [µs a job], "keeps": words,
    "survives": words}}, part: {case: figure}}
    """

    def __init__(self, path: Path, *, add: bool = False) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self._begun: set[str] = set(self.content) if add else set()

    def note(self, **facts: Any) -> None:
        versions = {name: version(name) for name in _PACKAGES}
        self.content |= {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "versions": versions, **facts}

    def add_heat(self, system: System, heat: Heat) -> None:
        systems = self._part("systems")
        one = systems.setdefault(system.name, {"single": [], "bulk": [], "run": [], "processor": []})
        one |= {"keeps": system.keeps, "survives": system.survives}
        one["single"].append(round(heat.single, 1))
        one["run"].append(round(heat.run, 1))
        one["processor"].append(round(heat.processor, 1))
        if heat.bulk is not None:
            one["bulk"].append(round(heat.bulk, 1))
        self._write()

    def put(self, part: str, case: str, figure: Any) -> None:
        self._part(part)[case] = figure
        self._write()

    def median(self, system: str, what: str) -> float | None:
        runs = self.content.get("systems", {}).get(system, {}).get(what)
        return median(runs) if runs else None

    def _part(self, name: str) -> dict[str, Any]:
        """Emptied when this run first writes to it."""
        if name not in self._begun:
            self._begun.add(name)
            self.content[name] = {}
        found: dict[str, Any] = self.content[name]
        return found

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n")


# --- tables ----------------------------------------------------------------------------------------------------------


def show(console: Console, results: Results) -> None:
    if "systems" in results.content:
        console.print(_systems_table(results))
    for part, title in _TITLES.items():
        if figures := results.content.get(part):
            console.print(_figures_table(title, figures))


def _systems_table(results: Results) -> Table:
    rounds = max(len(one["run"]) for one in results.content["systems"].values())
    table = Table(title=f"No-op jobs a second, medians of {rounds}", title_style="bold", caption=_BIAS)
    table.add_column("system", no_wrap=True)
    for column in ("run", "least-most", "Haulway is", "processor\nµs a job", "submit, single", "submit, bulk"):
        table.add_column(column, justify="right")
    table.add_column("record kept")
    table.add_column("waiting jobs survive\nloss of the broker")
    ours = results.median(HAULWAY.name, "run")
    for name, one in results.content["systems"].items():
        run, processor, single, bulk = (results.median(name, what) for what in ("run", "processor", "single", "bulk"))
        assert run is not None
        assert single is not None
        assert processor is not None
        table.add_row(
            name,
            f"{run:,.0f}",
            f"{min(one['run']):,.0f}-{max(one['run']):,.0f}",
            f"{ours / run:.1f} x" if ours and name != HAULWAY.name else "",
            f"{processor:,.0f}",
            f"{single:,.0f}",
            "-" if bulk is None else f"{bulk:,.0f}",
            one["keeps"],
            one["survives"],
            style="bold" if name == HAULWAY.name else "",
        )
    return table


_TITLES = {
    "lengths": "Jobs that take a while: jobs/s, and the share of the slots' time that they used",
    "workers": "No-op jobs/s by worker processes",
    "age": "No-op jobs/s by finished jobs in the table",
    "metrics": "GET /metrics by finished jobs in the table, milliseconds",
    "latency": "From submission to the handler, milliseconds",
    "limits": "No-op jobs/s without a key, while the same jobs of ten keys run beside: thirty at once in each case",
    "cost": "What a job costs Postgres",
    "memory": "Valkey's memory by waiting jobs, MiB",
    "web": "HTTP requests/s, one server process",
    "tabs": "Share of one processor that open pages cost while nothing changes: web, Postgres and Valkey",
    "pages": "From request to answer, milliseconds, the table full and 100,000 jobs waiting",
}


def _figures_table(title: str, figures: dict[str, Any]) -> Table:
    """A figure, or several by name, for each case."""
    rows = {case: figure if isinstance(figure, dict) else {"": figure} for case, figure in figures.items()}
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title, title_style="bold")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for case, row in rows.items():
        table.add_row(case, *(_written(row.get(column)) for column in columns))
    return table


def _written(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def as_markdown(results: Results) -> str:
    """The systems as a table for a README."""
    ours, our_cost = (results.median(HAULWAY.name, what) for what in ("run", "processor"))
    titles = ["", "no-op jobs/s", "Haulway is", "µs of processor a job", "submit/s, single", "in bulk", "record kept"]
    titles.append("waiting jobs survive loss of the broker")
    lines = [f"| {' | '.join(titles)} |", "|---|--:|--:|--:|--:|--:|---|---|"]
    for name, one in results.content.get("systems", {}).items():
        run, processor, single, bulk = (results.median(name, what) for what in ("run", "processor", "single", "bulk"))
        assert run
        assert processor
        ratio = ""
        if ours and our_cost and name != HAULWAY.name:
            ratio = f"{ours / run:.1f} x ({processor / our_cost:.1f} x by processor)"
        figures = [run, ratio, processor, single, bulk, one["keeps"], one["survives"]]
        written = [
            "" if figure is None else figure if isinstance(figure, str) else f"{figure:,.0f}" for figure in figures
        ]
        lines.append(f"| {' | '.join([f'**{name}**' if name == HAULWAY.name else name, *written])} |")
    return "\n".join(lines) + "\n"


# --- plots -----------------------------------------------------------------------------------------------------------


def draw(results: Results, directory: Path) -> list[Path]:
    """Write the plots there, and the systems as a table. Returns where they are."""
    plots: dict[str, str] = {}
    if "systems" in results.content:
        for what, title in (
            ("run", "No-op jobs a second, two worker processes"),
            ("bulk", "Submitted a second in bulk"),
            ("single", "Submitted a second, one by one"),
        ):
            rates = {one.name: rate for one in SYSTEMS if (rate := results.median(one.name, what)) is not None}
            notes = {one.name: f"keeps: {one.keeps}" for one in SYSTEMS} if what == "run" else None
            plots[f"jobs-{what}"] = charts.bars(title, "/s", rates, HAULWAY.name, notes)
    for part, unit in (("workers", "/s"), ("age", "/s"), ("memory", "MiB")):
        if figures := results.content.get(part):
            plots[f"jobs-{part}"] = charts.columns(_TITLES[part], unit, list(figures.items()))
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "jobs.md"]
    paths[0].write_text(as_markdown(results))
    for name, drawing in plots.items():
        path = directory / f"{name}.svg"
        path.write_text(drawing)
        paths.append(path)
    return paths
