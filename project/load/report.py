"""What a load test found, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from project.load.run import Outcome

_MOST_ERRORS = 5  # different ones that are shown


def report(outcome: Outcome) -> RenderableType:
    rates = Table(box=None, show_header=False, padding=(0, 2))
    rates.add_row("Submitted", f"{len(outcome.accepted)} jobs", _rate(len(outcome.accepted), outcome.submitting))
    completed = outcome.states["completed"]
    rates.add_row("Completed", f"{completed} jobs", _rate(completed, outcome.completing))
    for state, count in sorted(outcome.states.items()):
        if state != "completed":
            rates.add_row(state.capitalize(), f"{count} jobs", "")
    if outcome.retried:
        rates.add_row("More than one attempt", f"{outcome.retried} jobs", "")
    if outcome.troubles:
        rates.add_row("Not accepted", f"{outcome.troubles.total()} jobs", "")
    times = Table(box=None, padding=(0, 2))
    for title in ("", "half", "95 %", "99 %", "all"):
        times.add_column(title, justify="left" if not title else "right")
    times.add_row("Waited, at most", *_percentiles(outcome.waits))
    times.add_row("Ran, at most", *_percentiles(outcome.runs))
    troubles = (outcome.troubles + outcome.errors).most_common(_MOST_ERRORS)
    lines = [Text(f"  {count} x {words}", style="red") for words, count in troubles]
    return Group("", rates, "", times, "", *lines)


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f} a second, in {seconds:.1f} s" if seconds else ""


def _percentiles(values: Sequence[float]) -> list[str]:
    ordered = sorted(values)
    if not ordered:
        return ["-"] * 4
    last = len(ordered) - 1
    return [_seconds(ordered[round(last * part)]) for part in (0.5, 0.95, 0.99, 1.0)]


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 10 else f"{value:.1f} s"
