"""Jobs and their attempts."""

from __future__ import annotations

import uuid
from typing import ClassVar

import uuid_utils.compat
from django.conf import settings
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now


class State(models.TextChoices):
    BLOCKED = "blocked"  # waits for other jobs
    SCHEDULED = "scheduled"  # waits for its run_at
    QUEUED = "queued"  # ready to run, whether or not Redis knows
    RUNNING = "running"  # a worker holds the lease
    RETRYING = "retrying"  # failed once more, waits for its run_at
    PAUSED = "paused"  # held by a person
    COMPLETED = "completed"
    FAILED = "failed"  # the dead letters
    CANCELLED = "cancelled"


WAITING = (State.SCHEDULED, State.QUEUED, State.RETRYING)
LIVE = (State.BLOCKED, *WAITING, State.PAUSED, State.RUNNING)
FINISHED = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Priority(models.IntegerChoices):
    LOW = 0, "low"
    MEDIUM = 1, "medium"
    HIGH = 2, "high"
    CRITICAL = 3, "critical"


class Lane(models.TextChoices):
    COMPUTE = "compute"  # keeps a processor busy: runs in a process of its own
    IO = "io"  # waits for others: runs in a thread among many


class Admission(models.IntegerChoices):
    """Whether its limits let a waiting job start. What starts, or is taken out of the queue, begins anew."""

    OPEN = 0, "open"  # has not been asked: starts unless a limit has come to concern it
    HELD = 1, "held"  # stands before its limits; the dispatcher admits it when its turn comes
    ADMITTED = 2, "admitted"  # has its place within every limit


class Reason(models.TextChoices):
    """Why a failed job is a dead letter."""

    EXHAUSTED = "exhausted"  # every attempt failed
    GAVE_UP = "gave_up"  # the handler said that no attempt can succeed
    TIMED_OUT = "timed_out"  # the last attempt ran out of time
    WORKER_LOST = "worker_lost"  # it kept killing the process that ran it
    INVALID = "invalid"  # its payload no longer fits its kind


def uuid7() -> uuid.UUID:
    """A new id. Version 7 begins with the time, so ids sort by submission and new rows share index pages."""
    return uuid_utils.compat.uuid7()


# Without a zone: what is calculated in one may come out differently elsewhere, so no index would take it.
RESULT_KEPT_UNTIL = Func(
    "finished_at",
    "result_ttl",
    arg_joiner=" AT TIME ZONE 'UTC' + interval '1 second' * ",
    template="(%(expressions)s)",
    output_field=models.DateTimeField(),
)


class Job(models.Model):
    """One piece of work. Every change of `state` is a verb of jobs/lifecycle."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict, help_text="The submitter's own notes; handlers do not read them.")
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.MEDIUM)
    # Without the database's own check, which would lock the user's row for every job of a busy submitter. The jobs of a
    # user who is deleted keep his number, and nobody comes to own them.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, related_name="+", db_index=False, db_constraint=False
    )
    rank = models.SmallIntegerField(default=0, help_text="Within its queue a higher rank goes first.")
    lane = models.CharField(max_length=8, choices=Lane.choices, default=Lane.COMPUTE)
    state = models.CharField(max_length=10, choices=State.choices)

    created_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(db_default=Now(), help_text="Not to be started before.")
    ready_at = models.DateTimeField(null=True, help_text="Since when it is ready to run; ageing counts from here.")
    started_at = models.DateTimeField(null=True, help_text="When its latest attempt started.")
    finished_at = models.DateTimeField(null=True)

    attempt = models.PositiveIntegerField(default=0, help_text="The number of its latest attempt.")
    failures = models.PositiveIntegerField(default=0, help_text="Attempts that count against max_retries.")
    limit_key = models.CharField(
        max_length=200,
        db_default="",
        default="",
        blank=True,
        help_text="Jobs of one key share its limits: a customer, a host.",
    )
    admission = models.SmallIntegerField(
        choices=Admission.choices,
        db_default=Admission.OPEN,
        default=Admission.OPEN,
        help_text="Whether its limits let it start.",
    )
    max_retries = models.PositiveIntegerField(default=3)
    crashes = models.PositiveIntegerField(default=0, help_text="Processes that it killed; counts against CRASH_BUDGET.")
    losses = models.PositiveIntegerField(default=0, help_text="Nodes that were lost while they ran it.")
    timeout = models.FloatField(null=True, help_text="Seconds that one attempt may take; none: no limit.")

    lease = models.UUIDField(null=True, help_text="The claim of the running attempt. Whoever lacks it changes nothing.")
    node_id = models.UUIDField(null=True, help_text="The node of the latest attempt.")
    unique_key = models.CharField(max_length=200, null=True, help_text="One live job of an owner and a kind has it.")  # noqa: DJ001
    batch_id = models.UUIDField(null=True, help_text="The batch that it was submitted in.")
    followed = models.BooleanField(db_default=False, help_text="Whether anything follows from its end.")
    notify = models.JSONField(null=True, help_text="Who is told of its end.")
    cancel_requested_at = models.DateTimeField(null=True)

    reason = models.CharField(max_length=12, choices=Reason.choices, blank=True, default="")
    error = models.TextField(blank=True, default="", help_text="The latest failure in one line.")
    fingerprint = models.CharField(
        max_length=200, db_default="", default="", blank=True, help_text="Of a dead letter: what failed, and where."
    )
    result = models.JSONField(null=True)
    result_ttl = models.FloatField(
        null=True, help_text="Seconds that its result and files are kept once it is completed; none: as long as it is."
    )
    result_expired_at = models.DateTimeField(null=True, help_text="When they were deleted.")
    progress = models.JSONField(null=True, help_text='{"fraction": 0..1 or null, "note": text}')
    request_id = models.CharField(
        max_length=128, default="", db_default="", help_text="Of the request that submitted it."
    )
    traceparent = models.CharField(max_length=55, default="", db_default="", help_text="The trace that it belongs to.")
    checkpoint = models.JSONField(null=True, help_text="What the handler keeps for its next attempt.")

    class Meta:
        permissions: ClassVar = [("edit_payload", "Can run a job again on another payload")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "kind", "unique_key"],
                name="job_key_is_owners",
                condition=Q(unique_key__isnull=False, finished_at__isnull=True),
                nulls_distinct=False,  # what belongs to nobody has one owner too
            ),
            models.CheckConstraint(
                name="job_running_has_lease",
                condition=Q(state=State.RUNNING, lease__isnull=False, node_id__isnull=False, started_at__isnull=False)
                | (~Q(state=State.RUNNING) & Q(lease__isnull=True)),
            ),
            models.CheckConstraint(
                name="job_finished_has_end",
                condition=Q(state__in=FINISHED, finished_at__isnull=False)
                | (~Q(state__in=FINISHED) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="job_failed_has_reason",
                condition=Q(state=State.FAILED, reason__in=Reason.values) | (~Q(state=State.FAILED) & Q(reason="")),
            ),
            models.CheckConstraint(
                name="job_queued_is_ready", condition=~Q(state=State.QUEUED) | Q(ready_at__isnull=False)
            ),
            models.CheckConstraint(name="job_state_is_known", condition=Q(state__in=State.values)),
            models.CheckConstraint(name="job_priority_is_known", condition=Q(priority__in=Priority.values)),
            models.CheckConstraint(name="job_lane_is_known", condition=Q(lane__in=Lane.values)),
        ]
        # Partial indexes: the hot ones hold live jobs only, so a million finished ones do not slow the dispatcher.
        indexes: ClassVar = [
            # What stands before limits is in none of the two that the window is read by, however much of it there is.
            models.Index(
                fields=["lane", "priority", "-rank", "ready_at", "id"],
                name="job_open",
                condition=Q(state=State.QUEUED) & ~Q(admission=Admission.HELD),
            ),
            models.Index(
                fields=["lane", "ready_at"],
                name="job_open_ageing",
                condition=Q(state=State.QUEUED, priority__lt=Priority.CRITICAL) & ~Q(admission=Admission.HELD),
            ),
            models.Index(
                fields=["lane", "priority", "limit_key", "kind", "-rank", "ready_at", "id"],
                name="job_held",
                condition=Q(state=State.QUEUED, admission=Admission.HELD),
            ),
            models.Index(
                fields=["id"], name="job_admitted", condition=Q(state=State.QUEUED, admission=Admission.ADMITTED)
            ),
            models.Index(
                fields=["limit_key", "state"], name="job_of_key", condition=Q(state__in=LIVE) & ~Q(limit_key="")
            ),
            models.Index(fields=["run_at"], name="job_due", condition=Q(state__in=(State.SCHEDULED, State.RETRYING))),
            models.Index(fields=["node_id"], name="job_running", condition=Q(state=State.RUNNING)),
            models.Index(fields=["finished_at"], name="job_finished", condition=Q(finished_at__isnull=False)),
            # Not for the states that every job passes through: those have an index above, or nearly all the table.
            models.Index(
                fields=["state", "-id"],
                name="job_at_rest",
                condition=~Q(state__in=(State.QUEUED, State.RUNNING, State.COMPLETED)),
            ),
            models.Index(
                fields=["kind", "fingerprint", "finished_at"], name="job_dead", condition=Q(state=State.FAILED)
            ),
            models.Index(
                RESULT_KEPT_UNTIL,
                name="job_result_expiry",
                condition=Q(state=State.COMPLETED, result_ttl__isnull=False, result_expired_at=None),
            ),
            models.Index(fields=["kind", "-id"], name="job_by_kind"),
            models.Index(fields=["batch_id"], name="job_of_batch", condition=Q(batch_id__isnull=False)),
            models.Index(fields=["owner", "-id"], name="job_by_owner", condition=Q(owner__isnull=False)),
            models.Index(fields=["owner"], name="job_backlog", condition=Q(owner__isnull=False, finished_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def queue(self) -> str:
        """The name of its queue; the Celery queue adds `.io` in the waiting lane."""
        return Priority(self.priority).label


class Outcome(models.TextChoices):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    GAVE_UP = "gave_up"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # its own process died under it
    LOST = "lost"  # the node stopped renewing its lease
    RELEASED = "released"  # given back unfinished, by a drain: costs nothing
    SNOOZED = "snoozed"  # the handler asked to be called later: costs nothing
    CANCELLED = "cancelled"


class Attempt(models.Model):
    """One run of a job, written by the statement that ends it. The run under way is in the job's own row."""

    # No index of its own: that of attempt_ends_once begins with it.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts", db_constraint=False, db_index=False)
    kind = models.CharField(max_length=100, help_text="Its job's, for statistics without a look at the jobs.")
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(db_default=Now())
    seconds = models.FloatField(null=True, help_text="How long the handler ran; none where its process died.")
    node = models.CharField(max_length=255, help_text="Name of the worker that ran it.")
    error = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            # Two ends of one attempt cannot both be written, whatever the code around them does.
            models.UniqueConstraint("job", "number", name="attempt_ends_once"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}: {self.outcome}"
