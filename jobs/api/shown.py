"""What goes out, by its fields: mypy holds what writes it to these, and the OpenAPI document shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs.models import Lane, Outcome, Priority, Reason, State


def _one_of(values: list[str]) -> Any:
    schema: dict[str, Any] = {"enum": values}
    return Field(json_schema_extra=schema)


StateName = Annotated[str, _one_of(State.values)]
PriorityName = Annotated[str, _one_of(Priority.labels)]
ReasonName = Annotated[str, Field(description="Why it is a dead letter; empty for all others."), _one_of(["", *Reason])]


class JobShown(TypedDict):
    """A job without its attempts, as lists show it."""

    id: UUID
    kind: str
    state: StateName
    priority: PriorityName
    owner: Annotated[int | None, Field(description="The user it belongs to; null: nobody in particular.")]
    payload: Annotated[Any, Field(description="As submitted, with secrets masked.")]
    metadata: Annotated[Any, Field(description="The submitter's own notes.")]
    unique_key: str | None
    limit_key: Annotated[str, Field(description="Whose limits it stands before; empty for none.")]
    batch: UUID | None
    created_at: datetime
    started_at: Annotated[datetime | None, Field(description="When its latest attempt started.")]
    finished_at: datetime | None
    run_at: Annotated[datetime, Field(description="Not to be started before.")]
    attempt: Annotated[int, Field(description="The number of its latest attempt; 0 before the first.")]
    failures: Annotated[int, Field(description="Attempts that count against max_retries.")]
    max_retries: int
    timeout: Annotated[float | None, Field(description="Seconds that one attempt may take; null: no limit.")]
    progress: Annotated[Any, Field(description='{"fraction": 0 to 1 or null, "note": text}, or null.')]
    result: Annotated[Any, Field(description="What its handler returned.")]
    result_ttl: Annotated[float | None, Field(description="Seconds that result and files are kept; null: as the job.")]
    result_expired_at: Annotated[datetime | None, Field(description="When result and files were deleted.")]
    reason: ReasonName
    error: Annotated[str, Field(description="The latest failure in one line.")]
    cancel_requested_at: datetime | None


class AttemptShown(TypedDict):
    """One run of a job that has ended."""

    number: int
    outcome: Annotated[str, _one_of(Outcome.values)]
    started_at: datetime
    finished_at: datetime
    seconds: Annotated[float | None, Field(description="How long the handler ran; null where its process died.")]
    node: Annotated[str, Field(description="The worker that ran it.")]
    error: str
    traceback: str


class FileShown(TypedDict):
    """A result file of a job."""

    name: str
    bytes: int
    path: Annotated[str, Field(description="Where it is served.")]


class JobWhole(JobShown):
    """A job with its attempts and result files."""

    attempts: list[AttemptShown]
    files: list[FileShown]
    depends_on: Annotated[Any, Field(description="The jobs that it waits for, and how they stand.")]


class FaultShown(TypedDict):
    """One thing that is wrong with a request."""

    pointer: Annotated[str, Field(description="A JSON pointer into the body, or the name of a parameter after a /.")]
    detail: str


class ProblemShown(TypedDict):
    """A problem document, as RFC 9457 has it."""

    type: Annotated[str, Field(description="A path of this server that says more.")]
    title: str
    status: int
    hint: Annotated[str, Field(description="What to do.")]
    detail: NotRequired[str]
    errors: NotRequired[list[FaultShown]]
    request_id: NotRequired[Annotated[str, Field(description="Tell the operators this; answers carry it, too.")]]


class BulkResult(TypedDict):
    """The answer to one of many: its id, or the problem that kept it out."""

    index: int
    id: NotRequired[UUID]
    new: NotRequired[bool]
    problem: NotRequired[ProblemShown]


class BulkAnswer(TypedDict):
    """The answers to all of a list, in its order."""

    accepted: int
    refused: int
    results: list[BulkResult]


SearchedBackTo = Annotated[
    datetime | None,
    Field(
        description="A page reads a bounded stretch of the jobs. This one ended with it, at jobs that were submitted "
        "then: `next` goes on from there. Null: the page is full, or nothing older is left to read."
    ),
]


class JobPage(TypedDict):
    """A page of jobs; `next` and `previous` are URLs of the pages around it."""

    next: str | None
    previous: str | None
    searched_back_to: SearchedBackTo
    results: list[JobShown]


class KindShown(TypedDict):
    """A kind of job, with the defaults of its jobs."""

    kind: str
    summary: str
    lane: Annotated[str, _one_of(Lane.values)]
    max_retries: int
    timeout: float | None
    result_ttl: float | None
    payload: Annotated[dict[str, Any], Field(description="JSON schema of its payload.")]


class KindList(TypedDict):
    kinds: list[KindShown]


class ActionShown(TypedDict):
    """Something that a person or a token did."""

    id: int
    at: datetime
    actor: Annotated[str, Field(description="The name of whoever did it, as it was then.")]
    user: int | None
    token: int | None
    verb: str
    targets: Annotated[Any, Field(description="Ids or names of what it was done to: the first 1000.")]
    count: int
    detail: Any
    door: Annotated[str, Field(description="Method and path of the request, or the command.")]
    address: str | None
    request_id: str


class ActionPage(TypedDict):
    next: str | None
    previous: str | None
    results: list[ActionShown]


class TimingShown(TypedDict):
    """When something fires."""

    words: Annotated[str, Field(description="The timing as people say it.")]
    next: Annotated[list[datetime], Field(description="The next five times.")]


class ScheduleShown(TimingShown):
    """A schedule; `next` is empty while it is paused, and once it is over."""

    id: UUID
    name: str
    cron: str
    time_zone: str
    every: float | None
    starts_at: datetime | None
    at: datetime | None
    kind: str
    payload: Annotated[Any, Field(description="With secrets masked.")]
    metadata: Any
    priority: PriorityName
    max_retries: int | None
    timeout: float | None
    misfire: str
    grace: float
    catch_up_limit: int
    overlap: str
    paused_at: datetime | None
    paused_by: str
    created_at: datetime


class SchedulePage(TypedDict):
    next: str | None
    previous: str | None
    results: list[ScheduleShown]


class FireShown(TypedDict):
    """What a schedule did at one of its times."""

    at: datetime
    outcome: str
    job_id: UUID | None
    fired_at: datetime
    missed: int
    by: str
    note: str


class FirePage(TypedDict):
    next: str | None
    previous: str | None
    results: list[FireShown]


class BatchShown(TypedDict):
    """Jobs that belong together."""

    id: UUID
    name: str
    size: int
    jobs: Annotated[Any, Field(description="How many of them are in which state.")]
    callback: UUID | None
    callback_needs: str
    created_at: datetime
    finished_at: datetime | None
    cancelled: NotRequired[int]


class BatchPage(TypedDict):
    next: str | None
    previous: str | None
    results: list[BatchShown]


class LineShown(TypedDict):
    """A line of a job's log."""

    id: int
    attempt: int
    at: datetime
    level: Any
    text: str


class LogShown(TypedDict):
    lines: list[LineShown]


class NoticeShown(TypedDict):
    """Somebody who was told of the end of a job, and how that went."""

    id: int
    event: str
    to: Any
    created_at: datetime
    delivery: UUID | None
    state: str
    error: str
    answer: Any
    attempts: list[AttemptShown]


class NoticeList(TypedDict):
    notices: list[NoticeShown]


class Delivery(TypedDict):
    """The job that sends a message."""

    delivery: UUID
