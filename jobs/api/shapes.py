"""The shapes of the API: what comes in, what goes out.

Input is read by pydantic and output written by hand: a submission is the busiest request of all, and DRF's serializers
build their fields anew for each one, which cost more than the insert.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from rest_framework.request import Request

from jobs.models import Attempt, Job, Priority
from jobs.sealed import masked
from jobs.submission import MAX_PARENTS, Fault, InvalidSubmission, faults_of

MOST_AT_ONCE = 10_000  # jobs in one bulk submission

Shape = TypeVar("Shape", bound=BaseModel)


class JobOptions(BaseModel):
    """What may be said of any job, whatever its kind. What the values may be, submission.checked() judges."""

    model_config = ConfigDict(extra="forbid")  # a typing mistake must not pass for a default

    priority: Any = Field(default=None, description="low, medium, high, critical, or 0 to 3.")
    run_at: AwareDatetime | None = None
    max_retries: int | None = None
    timeout: float | None = Field(default=None, description="Seconds that one attempt may take.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    unique_key: str | None = Field(default=None, description="Of the jobs of a kind that have it one lives at a time.")
    on_conflict: str | None = Field(
        default=None,
        description="Where one lives: return it (the default), replace it, reschedule it to run_at, or refuse.",
    )

    depends_on: list[str] = Field(
        default_factory=list, max_length=MAX_PARENTS, description="Ids of jobs that it waits for."
    )
    needs: str = Field(default="success", description="What it needs of them: success, or their end, however it is.")
    notify: list[dict[str, Any]] = Field(
        default_factory=list, description="Who is told when it has ended: {url, secrets, on} or {email, on}."
    )
    limit_key: str = Field(default="", description="Jobs of one key share its limits: a customer, a host.")

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in JobOptions.model_fields}


class JobSubmission(JobOptions):
    kind: str = Field(max_length=100)
    payload: dict[str, Any] = Field(default_factory=dict)


class BulkSubmission(BaseModel):
    """Many jobs. With `all_or_nothing`, one that is refused refuses them all."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[Any] = Field(min_length=1, max_length=MOST_AT_ONCE)
    all_or_nothing: bool = False


class RetryOrder(BaseModel):
    """Another payload for a job that runs again. A secret that was shown masked and is sent back so stays as it is."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any]


def read(shape: type[Shape], request: Request) -> Shape:
    """The body as that shape. Raises InvalidSubmission, every fault named."""
    return validated(shape, request.data)


def validated(shape: type[Shape], data: Any) -> Shape:
    """Some JSON as that shape. Raises InvalidSubmission."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        raise InvalidSubmission(*(_plainer(fault, shape) for fault in faults_of(error))) from error


def _plainer(fault: Fault, shape: type[BaseModel]) -> Fault:
    if fault.detail == "Extra inputs are not permitted":
        return Fault(fault.pointer, f"Unknown field. Known: {', '.join(shape.model_fields)}.")
    return fault


def write_job(job: Job) -> dict[str, Any]:
    """A job without its attempts, as lists show it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "owner": job.owner_id,
        "priority": Priority(job.priority).label,
        "payload": masked(job.payload),
        "metadata": job.metadata,
        "unique_key": job.unique_key and job.unique_key.removeprefix(f"{job.owner_id}:"),
        "batch": job.batch_id,
        **_times(job),
        "run_at": job.run_at,
        "attempt": job.attempt,
        "failures": job.failures,
        "max_retries": job.max_retries,
        "timeout": job.timeout,
        "limit_key": job.limit_key,
        "progress": job.progress,
        "result": job.result,
        "reason": job.reason,
        "error": job.error,
        "cancel_requested_at": job.cancel_requested_at,
    }


def _times(job: Job) -> dict[str, datetime | None]:
    return {"created_at": job.created_at, "started_at": job.started_at, "finished_at": job.finished_at}


def write_attempts(job: Job) -> list[dict[str, Any]]:
    return [_write_attempt(attempt) for attempt in job.attempts.order_by("number")]


def _write_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "seconds": attempt.seconds,
        "node": attempt.node,
        "error": attempt.error,
        "traceback": attempt.traceback,
    }


def write_waits(job: Job) -> list[dict[str, Any]]:
    """The jobs that it waits or waited for."""
    found = job.dependencies.order_by("id").values_list("parent_id", "needs", "met")
    return [{"job": parent, "needs": needs, "met": met} for parent, needs, met in found]
