"""The demo itself: submit, watch, verify, tell."""

from __future__ import annotations

import hashlib
import statistics
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from project.demo.api import Api, DemoFailedError
from project.demo.origin import Origin

MIB = 1024 * 1024
THREADS = 4
JOBS_EACH = 3
SECONDS_OF_A_JOB = 0.4
PRIORITIES = ("critical", "high", "medium", "low")
PATIENCE = 120.0
POLL = 0.2

Answer = dict[str, Any]  # a job or a download as the API writes it


@dataclass
class Work:
    download: Answer
    jobs: list[Answer]

    @property
    def all(self) -> list[Answer]:
        return [self.download, *self.jobs]

    @property
    def unfinished(self) -> list[Answer]:
        return [answer for answer in self.all if answer["finished_at"] is None]

    def of(self, priority: str) -> list[Answer]:
        return [job for job in self.jobs if job["priority"] == priority]


def perform(api: Api, origin: Origin, download_root: Path, console: Console) -> Path:
    """Run the whole demo on a running stack. Returns the downloaded file; DemoFailedError says what went wrong."""
    console.print("Submitting one download, then jobs of every priority, the least urgent first.")
    work = _submit(api, origin)
    _watch(api, work, console)
    for answer in work.all:
        if answer["state"] != "completed":
            raise DemoFailedError(f"{answer['id']} is {answer['state']} ({answer['reason']}): {answer['error']}")
    file = download_root / str(work.download["output"])
    _verify(file, origin)
    console.print(_story(work, origin))
    return file


def _submit(api: Api, origin: Origin) -> Work:
    """The least urgent first, so that it shows who overtakes whom."""
    name = f"demo-{uuid.uuid4().hex[:8]}.bin"
    download = api.submit("downloads", url=origin.url, output=name, threads=THREADS, sha256=origin.sha256)
    jobs = [
        api.submit("jobs", kind="echo", priority=priority, payload={"sleep": SECONDS_OF_A_JOB, "number": number})
        for priority in reversed(PRIORITIES)
        for number in range(JOBS_EACH)
    ]
    return Work(download, jobs)


def _watch(api: Api, work: Work, console: Console) -> None:
    """Show a bar for the download and one for each priority until everything has ended."""
    deadline = time.monotonic() + PATIENCE
    columns = (TextColumn("{task.description:<16}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=console) as bars:
        download = bars.add_task("download", total=None, words="")
        priorities = {name: bars.add_task(f"echo, {name}", total=JOBS_EACH, words="") for name in PRIORITIES}
        while True:
            if work.download["finished_at"] is None:
                work.download = api.get("downloads", work.download["id"])
            work.jobs = [job if job["finished_at"] else api.get("jobs", job["id"]) for job in work.jobs]
            for name, bar in priorities.items():
                ended = [job for job in work.of(name) if job["finished_at"]]
                bars.update(bar, completed=len(ended), words=f"{len(ended)} of {JOBS_EACH}")
            done, total = work.download["bytes_done"], work.download["total_bytes"]
            words = f"{done / MIB:.1f} of {total / MIB:.0f} MiB" if total else work.download["state"]
            bars.update(download, completed=done, total=total, words=words)
            if not work.unfinished:
                return
            if time.monotonic() > deadline:
                late = ", ".join(answer["id"] for answer in work.unfinished)
                raise DemoFailedError(f"After {PATIENCE:.0f} s these have not ended: {late}")
            time.sleep(POLL)


def _verify(file: Path, origin: Origin) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != origin.sha256:
        raise DemoFailedError(f"The file on disk is not the origin's: SHA-256 of {file} is {found}.")


def _story(work: Work, origin: Origin) -> Table:
    size = len(origin.content)
    took = _seconds(work.download, "started_at", "finished_at")
    alone = size / origin.bytes_per_second
    table = Table("what", "priority", "waited", "took", "outcome", title="What happened", title_justify="left")
    table.add_row(
        f"{size / MIB:.0f} MiB, {THREADS} threads",
        work.download["priority"],
        f"{_seconds(work.download, 'created_at', 'started_at'):.2f} s",
        f"{took:.2f} s",
        f"SHA-256 right; 1 thread: {alone:.0f} s",
    )
    for priority in PRIORITIES:
        jobs = work.of(priority)
        table.add_row(
            f"{len(jobs)} echo jobs",
            priority,
            f"{statistics.mean(_seconds(job, 'created_at', 'started_at') for job in jobs):.2f} s",
            f"{statistics.mean(_seconds(job, 'started_at', 'finished_at') for job in jobs):.2f} s",
            f"{len(jobs)} completed",
        )
    return table


def _seconds(answer: Answer, start: str, end: str) -> float:
    return (datetime.fromisoformat(answer[end]) - datetime.fromisoformat(answer[start])).total_seconds()
