"""`make bench`: Haulway beside other job systems on this machine, and then Haulway by itself.

Systems run in turns, round by round, so that a slow minute of the machine is slow for all; medians are shown. What is
measured is written to the JSON file part by part, and the parts that are not measured again stay as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.benchmarks.jobs import heat, report
from tests.benchmarks.jobs.ground import PROJECT, Ground, machine
from tests.benchmarks.jobs.systems import SYSTEMS

OUT = PROJECT / ".data" / "benchmarks"


def main() -> int:
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    results = report.Results(options.out / "jobs.json", add=options.add)
    results.note(machine=machine(), command=" ".join(["make bench", *_flags()]))
    with Ground() as ground:
        for name in options.parts:
            console.rule(name)
            _PARTS[name](ground, options, console, results)
    report.show(console, results)
    for path in report.draw(results, options.out):
        console.print(f"Written: {path}")
    console.print(f"Written: {results.path}")
    return 0


# --- the parts -------------------------------------------------------------------------------------------------------


def _systems(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    taking_part = [one for one in SYSTEMS if not options.only or any(word in one.name for word in options.only)]
    for number in range(options.rounds):
        for system in taking_part:
            try:
                found = heat.run(ground, system, options.share)
            except heat.HeatFailed as error:
                console.print(f"{number + 1}. {system.name}: {error}", style="red")
                continue
            bulk = "" if found.bulk is None else f"{found.bulk:,.0f}"
            submitted, ran = f"{found.single:8,.0f} {bulk:>8}", f"{found.run:8,.0f} /s {found.processor:7,.0f} µs"
            console.print(f"{number + 1}. {system.name:32} {submitted} {ran}")
            results.add_heat(system, found)


def _lengths(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import work  # noqa: PLC0415 - needs the ground's Django

    for seconds in (0.001, 0.010, 0.100):
        runs = [work.of_length(ground, seconds, options.share) for _ in range(options.own_rounds)]
        results.put("lengths", f"{seconds * 1000:g} ms", _median_of(runs))
    results.put("lengths", "mixed", _median_of([work.mixed(ground, options.share) for _ in range(options.own_rounds)]))


def _workers(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import work  # noqa: PLC0415

    counts = (1, 2, 4)
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(options.own_rounds):
        for count in counts:
            rates[count].append(work.with_slots(ground, count, options.share))
    for count, found in rates.items():
        results.put("workers", str(count), median(found))


def _latency(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import latency  # noqa: PLC0415

    seconds = max(2.0, 15 * options.share)
    results.put("latency", "idle", latency.idle(ground, max(50, int(500 * options.share))))
    for load in (0.1, 0.5, 0.9):
        results.put("latency", f"{load:.0%} load", latency.at_load(ground, load, seconds))
    results.put("latency", "critical, low jobs at 50%", latency.critical_in_flood(ground, 0.5, seconds))
    results.put("latency", "critical, flood of low jobs", latency.critical_in_flood(ground, 2.0, seconds))


def _cost(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import cost  # noqa: PLC0415

    for name, value in cost.of_postgres(ground, options.share).items():
        results.put("cost", name, value)
    for waiting in (10_000, 100_000, 1_000_000):
        results.put("memory", f"{waiting:,}", cost.of_valkey(ground, waiting))  # whole: a share would prove nothing


def _web(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import web  # noqa: PLC0415

    rates = web.rates(ground, options.rounds, max(1.0, 4 * options.share))
    if rates is None:
        console.print("wrk is not installed (Debian: apt-get install wrk): HTTP is left out.")
        return
    for name, found in rates.items():
        results.put("web", name, median(found))


def _limits(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import limited  # noqa: PLC0415

    console.print("Without limits, too, the same jobs of ten customers run beside, thirty at once.")
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number, case, one in limited.rates(ground, options.rounds, options.share):
        console.print(
            f"{number + 1}. {case:28} {one['rate']:8,.0f} /s, beside {one['beside']:3.0f} /s of the customers"
        )
        found[case].append(one)
    for case, figures in limited.medians(found).items():
        results.put("limits", case, figures)


def _age(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import age, platform  # noqa: PLC0415

    platform.empty(ground)
    for rows in (0, *options.rows):
        found = [age.rate(ground, rows, options.share) for _ in range(options.own_rounds)]
        results.put("age", f"{rows:,}", median(found))
        read = age.metrics()
        results.put("metrics", f"{rows:,}", read)
        console.print(f"{rows:,} finished jobs: {median(found):,.0f} /s; /metrics in {read['median']:.1f} ms")


def _pages(ground: Ground, options: argparse.Namespace, console: Console, results: report.Results) -> None:
    from tests.benchmarks.jobs.ourselves import pages  # noqa: PLC0415

    for name, found in pages.times(ground, max(options.rows, default=0)):
        console.print(f"{name:28} p95 {found['p95']:6.1f} ms")
        results.put("pages", name, found)
    results.put("tabs", "20 open tabs", pages.open_tabs(ground, 20, 10.0))


_PARTS: dict[str, Callable[[Ground, argparse.Namespace, Console, report.Results], None]] = {
    "systems": _systems,
    "lengths": _lengths,
    "workers": _workers,
    "latency": _latency,
    "cost": _cost,
    "web": _web,
    "limits": _limits,
    "age": _age,
    "pages": _pages,  # in the table that the part before has filled
}


def _median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _flags() -> Iterator[str]:
    if sys.argv[1:]:
        yield f'BENCH_FLAGS="{" ".join(sys.argv[1:])}"'


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of every system, and of HTTP (default: 5)")
    parser.add_argument("--own-rounds", type=int, default=3, help="of what only Haulway does (default: 3)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of jobs; 0.05 is a quick look")
    parser.add_argument("--parts", nargs="+", choices=list(_PARTS), default=list(_PARTS), help="only these")
    parser.add_argument("--add", action="store_true", help="add to the rounds that the JSON file has")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only systems whose name has one of these words")
    parser.add_argument("--rows", nargs="*", type=int, default=[1_000_000, 10_000_000], help="finished jobs to fill in")
    parser.add_argument("--out", type=Path, default=OUT, help=f"for JSON and plots (default: {OUT})")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    sys.exit(main())
