"""The shapes of the API: what comes in, what goes out.

Input is read by pydantic and output written by hand: a submission is the busiest request of all, and DRF's serializers
build their fields anew for each one, which cost more than the insert.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from rest_framework.request import Request

from jobs.api.shown import AttemptShown, JobShown
from jobs.models import Attempt, Job, Needs, Priority
from jobs.notices import MOST as MOST_TOLD
from jobs.notices import NoticeWish
from jobs.sealed import masked
from jobs.submission import (
    MAX_KEY,
    MAX_PARENTS,
    MAX_RESULT_TTL,
    MAX_RETRIES_LIMIT,
    MAX_TIMEOUT,
    Conflict,
    Fault,
    InvalidSubmission,
    faults_of,
)

MOST_AT_ONCE = 10_000  # jobs in one bulk submission

Shape = TypeVar("Shape", bound=BaseModel)


_BEGINS_AS_A_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)


def _text(given: Any) -> Any:
    if not (isinstance(given, str) and _BEGINS_AS_A_TIME.match(given)):
        raise ValueError("must be a time as text, such as 2031-01-01T00:00:00Z")
    return given


def _reckonable(given: datetime) -> datetime:
    if not 1970 <= given.year <= 2200:
        raise ValueError("must be a time from 1970 to 2200")
    return given


def whole(given: Any) -> Any:
    return int(given) if isinstance(given, float) and given.is_integer() else given


# To JSON 3.0 is a whole number, too.
Whole = Annotated[int, BeforeValidator(whole)]
# Numbers, in quotes too, would pass for times: seconds or milliseconds, as they come.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]
# One that is reckoned with: at both ends of the calendar sums of times break.
Reckoned = Annotated[Moment, AfterValidator(_reckonable)]
# Text for people, that Postgres can keep.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")]
_PRIORITIES = {"enum": [*Priority.labels, *Priority.values, None], "title": "Priority"}
PriorityGiven = Annotated[Any, BeforeValidator(whole), WithJsonSchema(_PRIORITIES)]


_Told = Annotated[dict[str, Any], WithJsonSchema(NoticeWish.model_json_schema())]
RETRIES: dict[str, Any] = {"minimum": 0, "maximum": MAX_RETRIES_LIMIT}
TIMEOUT: dict[str, Any] = {"exclusiveMinimum": 0, "maximum": MAX_TIMEOUT}


class JobOptions(BaseModel):
    """What may be said of any job, whatever its kind. What the values may be, submission.checked() judges."""

    # A typing mistake must not pass for a default, nor a number in quotes for a number.
    model_config = ConfigDict(extra="forbid", strict=True)

    priority: PriorityGiven = Field(default=None, description="A name, or 0 to 3; medium if left out.")
    run_at: Moment | None = Field(default=None, description="Not to be started before; at most ten years ahead.")
    max_retries: Whole | None = Field(default=None, json_schema_extra=RETRIES)
    timeout: float | None = Field(
        default=None, description="Seconds that one attempt may take.", json_schema_extra=TIMEOUT
    )
    result_ttl: float | None = Field(
        default=None,
        description="Seconds that its result and files are kept once it is completed; as long as the job if left out.",
        json_schema_extra={"exclusiveMinimum": 0, "maximum": MAX_RESULT_TTL},
    )
    metadata: dict[str, Any] = Field(default_factory=dict)
    unique_key: str | None = Field(
        default=None,
        description="Of the jobs of a kind that have it one lives at a time.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_KEY, "pattern": r"^[^\x00-\x1f\x7f]*$"},
    )
    on_conflict: str | None = Field(
        default=None,
        description="Where one lives: return it (the default), replace it, reschedule it to run_at, or refuse.",
        json_schema_extra={"enum": [*Conflict, None]},
    )

    depends_on: list[Annotated[str, Field(json_schema_extra={"format": "uuid"})]] = Field(
        default_factory=list, max_length=MAX_PARENTS, description="Ids of jobs that it waits for."
    )
    needs: str = Field(
        default="success",
        description="What it needs of them: success, or their end, however it is.",
        json_schema_extra={"enum": [*Needs]},
    )
    notify: list[_Told] = Field(
        default_factory=list,
        description="Who is told when it has ended: {url, secrets, on} or {email, on}.",
        json_schema_extra={"maxItems": MOST_TOLD},
    )
    limit_key: str = Field(
        default="",
        description="Jobs of one key share its limits: a customer, a host.",
        json_schema_extra={"maxLength": MAX_KEY, "pattern": r"^[^*\x00-\x1f\x7f]*$"},
    )

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in JobOptions.model_fields}


class JobSubmission(JobOptions):
    """A job as it is submitted."""

    kind: str = Field(max_length=100)
    payload: dict[str, Any] = Field(default_factory=dict)


class BulkSubmission(BaseModel):
    """Many jobs. With `all_or_nothing`, one that is refused refuses them all."""

    model_config = ConfigDict(extra="forbid", strict=True)

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


@contextmanager
def pointing(places: Mapping[str, str]) -> Iterator[None]:
    """Let the faults of a job point into a body of another form: `{"/payload/api_url": "/api_url"}`.

    Of several that fit the first counts. Raises InvalidSubmission.
    """
    try:
        yield
    except InvalidSubmission as error:
        raise InvalidSubmission(*(_pointed(fault, places) for fault in error.faults)) from error


def _pointed(fault: Fault, places: Mapping[str, str]) -> Fault:
    for ours, theirs in places.items():
        if f"{fault.pointer}/".startswith(f"{ours}/"):
            return Fault(theirs + fault.pointer.removeprefix(ours), fault.detail)
    return fault


def _plainer(fault: Fault, shape: type[BaseModel]) -> Fault:
    if fault.detail == "Extra inputs are not permitted":
        return Fault(fault.pointer, f"Unknown field. Known: {', '.join(shape.model_fields)}.")
    return fault


def write_job(job: Job) -> JobShown:
    """A job without its attempts, as lists show it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "owner": job.owner_id,
        "priority": Priority(job.priority).label,
        "payload": masked(job.payload),
        "metadata": job.metadata,
        "unique_key": job.unique_key,
        "batch": job.batch_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "run_at": job.run_at,
        "attempt": job.attempt,
        "failures": job.failures,
        "max_retries": job.max_retries,
        "timeout": job.timeout,
        "limit_key": job.limit_key,
        "progress": job.progress,
        "result": job.result,
        "result_ttl": job.result_ttl,
        "result_expired_at": job.result_expired_at,
        "reason": job.reason,
        "error": job.error,
        "cancel_requested_at": job.cancel_requested_at,
    }


def write_attempts(job: Job) -> list[AttemptShown]:
    return [_write_attempt(attempt) for attempt in job.attempts.order_by("number")]


def _write_attempt(attempt: Attempt) -> AttemptShown:
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
