"""Does the suite notice? Takes one guard at a time out of a copy of the code, and plays the scenario that must break.

`python -m tests.chaos.mutations [NAME ...]`. Exit code 1 where a mutant survives, or where the text that a mutation
takes out is no longer in the code, so that this list is mended with it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

_PROJECT = Path(__file__).resolve().parent.parent.parent
_SUITE = (sys.executable, "-m", "tests.chaos", "--no-throughput")  # a mutant must be caught for what it does
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".data", ".*_cache", "__pycache__", ".hypothesis")


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    changes: tuple[tuple[str, str], ...]  # (text, what stands there instead)
    caught_by: str


MUTATIONS = (
    Mutation(
        "the fencing clause",
        "jobs/lifecycle/attempts.py",
        ((" AND locked.lease = given.lease", ""), (" AND job.lease = ending.lease", "")),
        "worker_frozen",
    ),
    Mutation(
        "the lease renewal",
        "jobs/leases.py",
        (("seen_at = now(), expires_at = excluded.expires_at,", "seen_at = now(),"),),
        "pool_child_frozen",
    ),
    Mutation(
        "the state guard",
        "jobs/lifecycle/attempts.py",
        (("id = ANY(%(ids)s) AND state = 'queued' AND kind", "id = ANY(%(ids)s) AND kind"),),
        "hints_repeated",
    ),
    Mutation(
        "the broker-loss repair",
        "jobs/window.py",
        (("gone = missing & self._missing", "gone: set[Ready] = set()"),),
        "flushall",
    ),
    Mutation(
        "the dispatcher's lease",
        "jobs/leadership.py",
        (("WHERE held.holder = excluded.holder OR held.expires_at < now()", ""),),
        "dispatcher_killed",
    ),
    Mutation(
        "the drain release",
        "jobs/node.py",
        (
            (
                "        lifecycle.record(\n            [endings.released(job, note)",
                "        (\n            [(job, note)",
            ),
        ),
        "worker_terminated",
    ),
)


def main() -> int:
    console = Console()
    wanted = sys.argv[1:]
    survived = 0
    for mutation in MUTATIONS:
        if wanted and mutation.caught_by not in wanted and mutation.name not in wanted:
            continue
        broken = _play(mutation)
        survived += not broken
        console.print(
            f"{'caught  ' if broken else '[bold red]SURVIVED[/]'}  without {mutation.name}: {mutation.caught_by}"
        )
        for line in broken[:3]:
            console.print(f"          {line}", style="dim", highlight=False, markup=False)
    return 1 if survived else 0


def _play(mutation: Mutation) -> list[str]:
    """The promises that the scenario saw broken."""
    with tempfile.TemporaryDirectory(prefix="haulway-mutant-") as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(_PROJECT, copy, ignore=_LEFT_OUT)
        file = copy / mutation.file
        code = file.read_text()
        for text, instead in mutation.changes:
            if code.count(text) != 1:
                raise SystemExit(f"{mutation.file} does not hold {text!r} once: mend the list of mutations.")
            code = code.replace(text, instead)
        file.write_text(code)
        report = Path(scratch) / "report.json"
        subprocess.run(
            [*_SUITE, mutation.caught_by, f"--json={report}", f"--logs={scratch}/logs"],
            cwd=copy,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        (finding,) = json.loads(report.read_text())["scenarios"]
        return list(finding["broken"])


if __name__ == "__main__":
    sys.exit(main())
