"""What became of a job, as a person reads it: its stations in order, and its tracebacks with the own code first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobs.models import Attempt, Job, State

# Parts of a traceback that say where the platform called the handler, not what went wrong in it.
_NOT_THEIRS = re.compile(r"[/\\]((site|dist)-packages|lib[/\\]python\d[.\d]*|jobs[/\\](attempt|worker|inline)\.py)")
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$')


@dataclass(frozen=True)
class Station:
    """A moment in a job's life, and how long it was until the next one."""

    state: str  # for its colour
    word: str
    at: datetime | None
    note: str = ""
    lasted: timedelta | None = None


def stations(job: Job, attempts: list[Attempt]) -> list[Station]:
    """Submitted, every attempt's start and end, and what comes next."""
    return list(_with_spans(list(_stations(job, attempts))))


def _stations(job: Job, attempts: list[Attempt]) -> Iterator[Station]:
    yield Station("submitted", "Submitted", job.created_at)
    for attempt in attempts:
        yield Station("running", f"Attempt {attempt.number}", attempt.started_at, note=attempt.node)
        last = attempt.number == job.attempt and job.state in (State.COMPLETED, State.FAILED, State.CANCELLED)
        if not last:
            yield Station(_colour(attempt.outcome), attempt.outcome.replace("_", " "), attempt.finished_at)
    match job.state:
        case State.SCHEDULED | State.RETRYING:
            yield Station(job.state, "Due" if job.state == State.SCHEDULED else "Next attempt", job.run_at)
        case State.BLOCKED:
            yield Station("blocked", "Waits for other jobs", None)
        case State.QUEUED:
            yield Station("queued", "Ready, waits for a worker", job.ready_at)
        case State.RUNNING:
            yield Station("running", f"Attempt {job.attempt}", job.started_at, note="under way")
        case State.PAUSED:
            yield Station("paused", "Paused", None)
        case _:
            yield Station(job.state, job.get_state_display(), job.finished_at, note=job.reason.replace("_", " "))


def _colour(outcome: str) -> str:
    return {"completed": "completed", "cancelled": "cancelled", "snoozed": "scheduled", "released": "queued"}.get(
        outcome, "retrying"
    )


def _with_spans(found: list[Station]) -> Iterator[Station]:
    ends = [following.at for following in found[1:]] + [None]
    for one, end in zip(found, ends, strict=True):
        yield replace(one, lasted=end - one.at) if one.at and end and end >= one.at else one


@dataclass(frozen=True)
class Frame:
    file: str
    line: int
    name: str
    code: str
    theirs: bool  # of the handler, not of a library or of the platform

    @property
    def place(self) -> str:
        """The end of the path, which says enough; the whole of it is in the traceback."""
        return "/".join(self.file.replace("\\", "/").split("/")[-3:])


def frames(traceback: str) -> list[Frame]:
    """The calls of a Python traceback, outermost first."""
    lines = traceback.splitlines()
    found = []
    for place, text in enumerate(lines):
        if match := _FRAME.match(text):
            code = lines[place + 1].strip() if place + 1 < len(lines) and lines[place + 1].startswith("    ") else ""
            theirs = not _NOT_THEIRS.search(match["file"])
            found.append(Frame(match["file"], int(match["line"]), match["name"], code, theirs))
    return found
