"""The findings as one table for people, and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLUMNS = (
    "jobs",
    "completed\nonce",
    "lost",
    "finished\ntwice",
    "handler runs\nbeyond one",
    "seconds to recover\n(bound)",
    "throughput\nafter ÷ before",
)


def show(console: Console, findings: Sequence[Mapping[str, Any]], seconds: float) -> None:
    table = Table(title="What Haulway survives", title_style="bold", caption=_caption(findings, seconds))
    table.add_column("scenario", max_width=46)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for finding in findings:
        table.add_row(*_row(finding), style="" if finding["kept"] else "bold red")
    console.print(table)
    for finding in findings:
        for line in finding["broken"]:
            console.print(Text(f"✗ {finding['scenario']}: {line}", style="red"))
    for finding in findings:
        for line in filter(None, [finding["skipped"], *finding["notes"]]):
            console.print(Text(f"· {finding['scenario']}: {line}", style="dim"))


def write(path: Path, findings: Sequence[Mapping[str, Any]], seconds: float) -> None:
    """Write {"kept": whether every promise was kept, "seconds", "scenarios": [finding]}."""
    kept = all(finding["kept"] for finding in findings)
    report = {"kept": kept, "seconds": round(seconds, 1), "scenarios": list(findings)}
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def line(finding: Mapping[str, Any]) -> str:
    """One finding as a line of progress, and a line for every promise that was broken."""
    mark = "skipped" if finding["skipped"] else "kept" if finding["kept"] else "BROKEN"
    pace = "" if finding["ratio"] is None else f", {finding['ratio']:.2f} of {finding['before']:.1f} jobs/s"
    first = f"{mark:>8}  {finding['scenario']} ({finding['seconds']:.0f} s{pace})"
    return "\n          ".join([first, *finding["broken"]])


def _row(finding: Mapping[str, Any]) -> list[str]:
    title = f"{'✓' if finding['kept'] else '✗'} {finding['scenario']}"
    if finding["skipped"]:
        return [f"- {finding['scenario']}", *["skipped"] * len(_COLUMNS)]
    count = finding["count"]
    recovery, bound, ratio = finding["recovery"], finding["bound"], finding["ratio"]
    return [
        title,
        f"{count['jobs']:,}",
        f"{count['completed_once']:,}",
        f"{count['lost']:,}",
        f"{count['finished_twice']:,}",
        f"{count['runs_beyond_one']:,}",
        ("-" if recovery is None else f"{recovery:.1f}") + (f" (≤ {bound:g})" if bound else ""),
        "-" if ratio is None else f"{ratio:.2f}",
    ]


def _caption(findings: Sequence[Mapping[str, Any]], seconds: float) -> str:
    done = [finding for finding in findings if not finding["skipped"]]
    jobs = sum(finding["count"]["jobs"] for finding in done)
    lost = sum(finding["count"]["lost"] for finding in done)
    twice = sum(finding["count"]["finished_twice"] for finding in done)
    broken = sum(not finding["kept"] for finding in done)
    verdict = "every promise kept" if not broken else f"{broken} scenarios broke a promise"
    return f"{jobs:,} jobs, {lost} lost, {twice} finished twice: {verdict}. {seconds / 60:.1f} min."
