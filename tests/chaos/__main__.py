"""`make chaos`: plays every scenario, each in a process of its own with its own servers, and prints one table.

Exit code 0: every promise was kept. 1: one was broken. 2: a scenario could not be played.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django
from rich.console import Console

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from tests.chaos import report  # noqa: E402 - scenarios need the settings
from tests.chaos.scenario import Finding  # noqa: E402
from tests.chaos.scenarios import SCENARIOS  # noqa: E402
from tests.chaos.servers import guarded  # noqa: E402
from tests.chaos.stage import patience  # noqa: E402
from tests.chaos.template import template  # noqa: E402

_PROJECT = Path(__file__).resolve().parent.parent.parent
_AT_ONCE = 2  # of the scenarios that compare no throughput
_LONGEST = 400.0  # seconds for one scenario; those that need more hang


def main() -> int:
    options = _options()
    if options.list:
        for scenario in SCENARIOS.values():
            sys.stdout.write(f"{scenario.name:28} {scenario.title}\n")
        return 0
    names = options.scenarios or [one.name for one in SCENARIOS.values() if one.short or not options.short]
    console = Console(width=None if sys.stdout.isatty() else 160)
    findings: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    with template() as home, ThreadPoolExecutor(_AT_ONCE) as stages:

        def play(name: str) -> None:
            findings[name] = _play(name, home, options.logs, throughput=not options.no_throughput)
            console.print(report.line(findings[name]), highlight=False)

        for name in names:
            if SCENARIOS[name].steady:
                play(name)
        # Where no throughput is compared, the neighbour's noise can only make a recovery look longer than it is.
        list(stages.map(play, [name for name in names if not SCENARIOS[name].steady]))
    seconds = time.monotonic() - began
    table = [findings[name] for name in names]
    report.show(console, table, seconds)
    report.write(options.json, table, seconds)
    console.print(f"As JSON: {options.json}", highlight=False)
    if any("could not be played" in line for finding in table for line in finding["broken"]):
        return 2
    return 0 if all(finding["kept"] for finding in table) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("scenarios", nargs="*", metavar="NAME", choices=[*SCENARIOS, []], help="only these")
    parser.add_argument("--short", action="store_true", help="the most telling scenarios, in some minutes")
    parser.add_argument("--no-throughput", action="store_true", help="do not measure it: for busy machines, and faster")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--json", type=Path, default=Path(".data/chaos.json"), help="where the report goes")
    parser.add_argument("--logs", type=Path, default=Path(".data/chaos-logs"), help="where logs of broken ones go")
    options = parser.parse_args()
    for directory in (options.json.parent, options.logs):
        directory.mkdir(parents=True, exist_ok=True)
    return options


def _play(name: str, home: Path, logs: Path, *, throughput: bool) -> dict[str, Any]:
    """Play one scenario in a group of processes that ends with it, whatever happens."""
    directory = home / name
    directory.mkdir(mode=0o711)
    command = [sys.executable, "-m", "tests.chaos.perform", name, str(home), str(directory)]
    if not throughput:
        command.append("--no-throughput")
    with guarded() as group:
        finding = _finding(name, command, group)
    if not finding["kept"]:
        subprocess.run(["cp", "-r", str(directory / "logs"), str(logs / name)], check=False)
    subprocess.run(["rm", "-rf", str(directory)], check=True)
    return finding


def _finding(name: str, command: Sequence[str], group: int) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command,
            cwd=_PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST * patience(),
            process_group=group,
        )
    except subprocess.TimeoutExpired:
        return _unplayed(name, f"it took longer than {_LONGEST * patience():.0f} s")
    if done.returncode:
        return _unplayed(name, done.stderr)
    finding: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return finding


def _unplayed(name: str, why: str) -> dict[str, Any]:
    scenario = SCENARIOS[name]
    return Finding(scenario.title, broken=[f"could not be played: {why[-2000:]}"]).as_json()


if __name__ == "__main__":
    sys.exit(main())
