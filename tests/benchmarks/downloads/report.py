"""The results as a table, as JSON and as a plot."""

from __future__ import annotations

import json
from html import escape
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from tests.benchmarks.downloads.measuring import Run

Results = dict[str, list["Run"]]
"""Case -> its runs."""
Line = dict[str, float | str | int]
Cases = dict[str, dict[str, Line]]
"""Case -> client -> its figures."""
_WIDTH, _BAR, _GAP, _LEFT = 760, 16, 6, 130
_OURS, _PEER = "#2563eb", "#9ca3af"


def summary(runs: list[Run]) -> dict[str, Line]:
    """Per client the medians of those runs that succeeded."""
    out: dict[str, Line] = {}
    for name in dict.fromkeys(run.client for run in runs):
        good = [run for run in runs if run.client == name and not run.fault]
        if good:
            out[name] = {
                "mb_per_second": round(median(run.rate for run in good), 1),
                "cpu_seconds_per_gb": round(median(run.cpu for run in good), 2),
                "memory_mib": round(median(run.memory for run in good)),
                "runs": len(good),
            }
        else:
            out[name] = {"fault": next(run.fault for run in runs if run.client == name)}
    return out


def show(case: str, runs: list[Run], console: Console) -> None:
    table = Table(title=case, title_justify="left")
    for column in ("client", "MB/s", "least", "most", "of aria2c", "CPU s/GB", "MiB", ""):
        table.add_column(column, justify="left" if column in ("client", "") else "right", no_wrap=True)
    lines = summary(runs)
    peer = lines.get("aria2c", {}).get("mb_per_second")
    for name, line in sorted(lines.items(), key=lambda item: -float(item[1].get("mb_per_second", 0))):
        if "fault" in line:
            table.add_row(name, "", "", "", "", "", "", str(line["fault"]))
            continue
        rates = [run.rate for run in runs if run.client == name and not run.fault]
        rate = float(line["mb_per_second"])
        ratio = f"{rate / float(peer):.2f} x" if peer else ""
        table.add_row(
            name, f"{rate:.1f}", f"{min(rates):.1f}", f"{max(rates):.1f}", ratio,
            f"{line['cpu_seconds_per_gb']:.2f}", str(line["memory_mib"]), "",
        )  # fmt: skip
    console.print(table)


def write(results: Results, versions: dict[str, str], into: Path) -> None:
    """``downloads.json``, ``downloads.svg``, and ``downloads.md`` for README. Cases of earlier runs are kept."""
    into.mkdir(parents=True, exist_ok=True)
    kept = into / "downloads.json"
    cases: Cases = json.loads(kept.read_text())["cases"] if kept.exists() else {}
    cases |= {case: summary(runs) for case, runs in results.items()}
    kept.write_text(json.dumps({"versions": versions, "cases": cases}, indent=2) + "\n")
    (into / "downloads.svg").write_text(plot(cases))
    (into / "downloads.md").write_text(markdown(cases, versions))


def markdown(cases: Cases, versions: dict[str, str]) -> str:
    """A row for each client, a column for each case: MB/s, and processor seconds per GB."""
    names = list(dict.fromkeys(name for lines in cases.values() for name in lines))
    rows = [["MB/s (CPU s/GB)", *cases], ["---", *("--:" for _ in cases)]]
    for name in names:
        cells = [_cell(lines.get(name)) for lines in cases.values()]
        rows.append([f"{name} {versions.get(name, '')}".strip(), *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    return str(line.get("fault") or f"{line['mb_per_second']} ({line['cpu_seconds_per_gb']})")


def plot(cases: Cases) -> str:
    """Bars of MB/s, case by case, each case on its own scale."""
    y, parts = 10, []
    for case, lines in cases.items():
        parts.append(f'<text x="0" y="{y + 14}" font-weight="bold">{escape(case)}</text>')
        y += 24
        rates = {name: float(line.get("mb_per_second", 0)) for name, line in lines.items()}
        most = max(rates.values(), default=0.0) or 1.0
        for name, rate in sorted(rates.items(), key=lambda item: -item[1]):
            width = max(1, int((_WIDTH - _LEFT - 150) * rate / most))
            cpu = lines[name].get("cpu_seconds_per_gb")
            label = f"{rate:.1f} MB/s, {cpu} CPU s/GB" if rate else str(lines[name].get("fault", ""))
            colour = _OURS if name.startswith("haulway") else _PEER
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" rx="2" fill="{colour}"/>')
            parts.append(f'<text x="{_LEFT + width + 6}" y="{y + 12}">{escape(label)}</text>')
            y += _BAR + _GAP
        y += 14
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
