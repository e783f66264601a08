"""`make soak MINUTES=n`: steady load for so long, and a verdict on everything that must not grow or fade.

Finished jobs are kept for a few minutes only, so that the pruning that production does over months is part of it.
Writes the samples as JSON and a plot as SVG. Exit code 1 where a slope is not flat or a job was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import django
import psutil
import redis
from rich.console import Console
from rich.table import Table

from tests.chaos import ledger, plot
from tests.chaos.actor import Actor
from tests.chaos.stage import Broken, Stage

_EVERY = 5.0  # seconds between samples
_KEEP_EVERY = 12  # samples
_RETENTION_MINUTES = 3.0
_WARM_UP = 1.6 * _RETENTION_MINUTES  # minutes: until as much is deleted as is written
_TABLES = ("jobs_job", "jobs_attempt")
MEGABYTE = 1024 * 1024

Sample = Mapping[str, float]


@dataclass(frozen=True)
class Slope:
    """How a figure moved over the measured time: least squares over its samples."""

    name: str
    first: float
    last: float
    drift: float  # share of the mean by which the line rose or fell from end to end
    flat: bool


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    options = _options()
    if options.home is None:
        django.setup()
        from tests.chaos.template import template  # noqa: PLC0415 - needs the settings

        with template() as home:  # and another process for what needs the settings of the servers to come
            command = [sys.executable, "-m", "tests.chaos.soak", *sys.argv[1:], f"--home={home}"]
            return subprocess.run(command, check=False).returncode
    options.out.mkdir(parents=True, exist_ok=True)
    with Stage(options.home, options.home / "soak") as stage:
        os.environ.update(stage.environment)
        django.setup()
        samples, faults = _soak(stage, options)
    slopes = judged(samples)
    _write(options.out, samples, slopes, faults)
    _show(Console(), slopes, faults, options.out)
    return 0 if not faults and all(slope.flat for slope in slopes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("minutes", type=float, help="how long to measure, after some minutes of warming up")
    parser.add_argument("--out", type=Path, default=Path(".data/soak"), help="directory for the samples and the plot")
    parser.add_argument("--rate", type=int, default=30, help="jobs a second: less than this machine can do")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _soak(stage: Stage, options: argparse.Namespace) -> tuple[list[Sample], list[str]]:
    """The samples, and what was found wrong with jobs."""
    retention = {"RETENTION_DAYS": str(_RETENTION_MINUTES / 24 / 60)}
    actors = [
        stage.worker("compute", slots=4, environment=retention),
        stage.worker("io", slots=16, io=True, environment=retention),
        stage.dispatcher("dispatcher-1", retention),
        stage.dispatcher("dispatcher-2", retention),
        stage.postgres,
        stage.valkey,
    ]
    load = Steady(stage, options.rate)
    samples: list[Sample] = []
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < (options.minutes + _WARM_UP) * 60:
        load.keep_up(elapsed)
        if elapsed >= len(samples) * _EVERY:
            samples.append({"minute": elapsed / 60, **_sample(stage, actors)})
            if len(samples) % _KEEP_EVERY == 0:  # so that one that is interrupted has something to show
                _write(options.out, samples, judged(samples), ["not over yet"])
        time.sleep(0.2)
    return samples, load.faults()


class Steady:
    """So many jobs a second, of every sort, submitted in the order of time and never more than that."""

    def __init__(self, stage: Stage, rate: int) -> None:
        self._stage = stage
        self._rate = rate
        self._submitted = 0

    def keep_up(self, elapsed: float) -> None:
        from jobs import lifecycle  # noqa: PLC0415
        from jobs.submission import checked  # noqa: PLC0415

        due = int(elapsed * self._rate) - self._submitted
        jobs = []
        for number in range(self._submitted, self._submitted + due):
            slow = number % 50 == 0
            kind = "chaos.wait" if number % 10 == 0 else "chaos.work"
            payload = {"seconds": 1.5 if slow else 0.002, "fail_times": int(number % 40 == 1)}
            jobs.append(checked(kind, payload, priority=number % 4))
        if jobs:
            lifecycle.submit_many(jobs)
        self._submitted += due

    def faults(self) -> list[str]:
        """What is wrong when all should be over. Completed jobs are pruned meanwhile, so the ledger tells who ran."""
        unfinished = "state NOT IN ('completed', 'failed', 'cancelled')"
        faults = []
        try:
            self._stage.until(lambda: self._stage.count(unfinished) == 0, 120, "every job comes to its end")
        except Broken as broken:
            left = self._stage.rows(f"SELECT state, kind, count(*) FROM jobs_job WHERE {unfinished} GROUP BY 1, 2")
            faults.append(f"{broken}: {left}")
        if bad := self._stage.count("state IN ('failed', 'cancelled')"):
            faults.append(f"{bad} jobs did not complete")
        if missing := self._submitted - len(ledger.runs(self._stage.ledger)):
            faults.append(f"{missing} jobs never ran")
        return faults


def _sample(stage: Stage, actors: list[Actor]) -> dict[str, float]:
    recent = stage.one("SELECT count(*) FROM jobs_job WHERE finished_at >= now() - make_interval(secs => %s)", _EVERY)
    sample = {"jobs/s": recent / _EVERY, "waiting": float(stage.count("state = 'queued'"))}
    for table, dead, heap, indexes in stage.rows(
        "SELECT relname, n_dead_tup, pg_table_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables"
        " WHERE relname = ANY(%s)",
        list(_TABLES),
    ):
        sample |= {f"dead {table}": dead, f"table {table}": heap / MEGABYTE, f"indexes {table}": indexes / MEGABYTE}
    with suppress(redis.RedisError):
        sample["Valkey memory"] = int(stage.redis.info("memory")["used_memory"]) / MEGABYTE
    return sample | {f"RSS {actor.name}": _resident(actor) / MEGABYTE for actor in actors}


def _resident(actor: Actor) -> float:
    """Bytes that the process and its children hold for themselves; what they share is counted once by nobody."""
    total = 0
    for pid in (actor.pid, *actor.children()):
        with suppress(psutil.Error):
            memory = psutil.Process(pid).memory_info()
            total += memory.rss - memory.shared
    return float(total)


def judged(samples: list[Sample]) -> list[Slope]:
    """A verdict on every figure, over the samples after the warm-up."""
    steady = [sample for sample in samples if sample["minute"] >= _WARM_UP]
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in steady:
        for name, value in sample.items():
            if name != "minute":
                lines[name].append((sample["minute"], value))
    return [_slope(name, line) for name, line in lines.items()]


def _slope(name: str, line: list[tuple[float, float]]) -> Slope:
    minutes = [minute for minute, _ in line]
    values = [value for _, value in line]
    middle, mean = sum(minutes) / len(line), sum(values) / len(line)
    spread = sum((minute - middle) ** 2 for minute in minutes)
    rise = sum((minute - middle) * (value - mean) for minute, value in line) / spread if spread else 0.0
    first, last = mean + rise * (minutes[0] - middle), mean + rise * (minutes[-1] - middle)
    drift = (last - first) / mean if mean else 0.0
    worse = -drift if name == "jobs/s" else drift
    allowed, least = _tolerance(name)
    return Slope(name, first, last, drift, flat=worse <= allowed or abs(last - first) <= least)


def _tolerance(name: str) -> tuple[float, float]:
    """By which share of its mean a figure may drift, and by how much in its own unit it may in any case."""
    match name.partition(" ")[0]:
        case "waiting":
            return 0.5, 50.0  # jobs: a second of work
        case "dead":
            return 0.5, 2_000.0  # rows: a saw tooth, as vacuum comes and goes
        case "table" | "indexes":
            return 0.1, 2.0  # MB
        case "jobs/s":
            return 0.02, 0.0
        case _:
            return 0.05, 3.0  # MB of memory


def _write(out: Path, samples: list[Sample], slopes: list[Slope], faults: list[str]) -> None:
    def lines(*starts: str) -> dict[str, list[tuple[float, float]]]:
        names = [name for name in samples[-1] if name.startswith(starts)]
        return {name: [(sample["minute"], sample.get(name, 0.0)) for sample in samples] for name in names}

    plot.write(
        out / "soak.svg",
        {
            "Jobs completed a second": lines("jobs/s"),
            "Jobs waiting": lines("waiting"),
            "Dead tuples": lines("dead"),
            "Tables and indexes, MB": lines("table", "indexes"),
            "Valkey memory, MB": lines("Valkey"),
            "Resident memory, MB": lines("RSS"),
        },
    )
    report = {"faults": faults, "slopes": [asdict(slope) for slope in slopes], "samples": samples}
    (out / "soak.json").write_text(json.dumps(report, indent=1) + "\n")


def _show(console: Console, slopes: list[Slope], faults: list[str], out: Path) -> None:
    table = Table(title="Soak", caption=f"Least squares after the warm-up. Plot: {out / 'soak.svg'}")
    for column in ("figure", "at first", "at last", "drift", "verdict"):
        table.add_column(column, justify="left" if column in ("figure", "verdict") else "right")
    for slope in slopes:
        verdict = "flat" if slope.flat else "[bold red]NOT FLAT[/]"
        table.add_row(slope.name, f"{slope.first:,.1f}", f"{slope.last:,.1f}", f"{slope.drift:+.1%}", verdict)
    console.print(table)
    for fault in faults:
        console.print(f"[bold red]✗ {fault}[/]")


if __name__ == "__main__":
    sys.exit(main())
