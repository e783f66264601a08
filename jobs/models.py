"""What is recorded: jobs, their attempts, and the nodes that do them.

Times come from the database's clock alone, so that nodes whose clocks disagree still agree on what is due or late.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

import uuid_utils.compat
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class State(models.TextChoices):
    SCHEDULED = "scheduled"  # waits for its run_at
    QUEUED = "queued"  # ready to run, whether or not Redis knows
    RUNNING = "running"  # a worker holds the lease
    RETRYING = "retrying"  # failed once more, waits for its run_at
    PAUSED = "paused"  # held by a person
    COMPLETED = "completed"
    FAILED = "failed"  # the dead letters
    CANCELLED = "cancelled"


WAITING = (State.SCHEDULED, State.QUEUED, State.RETRYING)
LIVE = (*WAITING, State.PAUSED, State.RUNNING)
FINISHED = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Priority(models.IntegerChoices):
    LOW = 0, "low"
    MEDIUM = 1, "medium"
    HIGH = 2, "high"
    CRITICAL = 3, "critical"


class Lane(models.TextChoices):
    COMPUTE = "compute"  # keeps a processor busy: runs in a process of its own
    IO = "io"  # waits for others: runs in a thread among many


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


class Job(models.Model):
    """One piece of work. Every change of `state` is a verb of jobs/lifecycle.py."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict, help_text="The submitter's own notes; handlers do not read them.")
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.MEDIUM)
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
    max_retries = models.PositiveIntegerField(default=3)
    crashes = models.PositiveIntegerField(default=0, help_text="Processes that it killed; counts against CRASH_BUDGET.")
    losses = models.PositiveIntegerField(default=0, help_text="Nodes that were lost while they ran it.")
    timeout = models.FloatField(null=True, help_text="Seconds that one attempt may take; none: no limit.")

    lease = models.UUIDField(null=True, help_text="The claim of the running attempt. Whoever lacks it changes nothing.")
    node_id = models.UUIDField(null=True, help_text="The node of the latest attempt.")
    cancel_requested_at = models.DateTimeField(null=True)

    reason = models.CharField(max_length=12, choices=Reason.choices, blank=True, default="")
    error = models.TextField(blank=True, default="", help_text="The latest failure in one line.")
    result = models.JSONField(null=True)
    progress = models.JSONField(null=True, help_text='{"fraction": 0..1 or null, "note": text}')
    checkpoint = models.JSONField(null=True, help_text="What the handler keeps for its next attempt.")

    class Meta:
        constraints: ClassVar = [
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
            models.Index(
                fields=["lane", "priority", "-rank", "ready_at", "id"],
                name="job_ready",
                condition=Q(state=State.QUEUED),
            ),
            models.Index(
                fields=["lane", "ready_at"],
                name="job_ageing",
                condition=Q(state=State.QUEUED, priority__lt=Priority.CRITICAL),
            ),
            models.Index(fields=["run_at"], name="job_due", condition=Q(state__in=(State.SCHEDULED, State.RETRYING))),
            models.Index(fields=["node_id"], name="job_running", condition=Q(state=State.RUNNING)),
            models.Index(fields=["finished_at"], name="job_finished", condition=Q(finished_at__isnull=False)),
            models.Index(fields=["state", "-id"], name="job_by_state"),
            models.Index(fields=["kind", "-id"], name="job_by_kind"),
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

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts", db_constraint=False)
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


class Node(models.Model):
    """A worker process with its pool, alive while it renews its lease: one statement a heartbeat, whatever it runs."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=255)
    queues = models.JSONField(default=list, help_text="Celery queues it takes from.")
    kinds = models.JSONField(default=list, help_text="Kinds it has a handler for.")
    slots = models.PositiveIntegerField(help_text="Messages it works on at once.")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(help_text="When its lease runs out unless renewed.")
    draining = models.BooleanField(default=False)
    pid = models.PositiveIntegerField()
    memory_bytes = models.PositiveBigIntegerField(default=0, help_text="Resident memory of it and its pool.")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="node_expiry")]

    def __str__(self) -> str:
        return self.name


class Leadership(models.Model):
    """Which dispatcher leads. One row; a term is a lease that its holder renews."""

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=255)
    term = models.PositiveBigIntegerField(default=1, help_text="Grows with each change of leader.")
    expires_at = models.DateTimeField()
    renewed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.holder}, term {self.term}"


class Lock(models.Model):
    """What one attempt keeps to itself over the whole fleet. See jobs/locks.py for when it counts."""

    key = models.CharField(max_length=200, primary_key=True)
    job_id = models.UUIDField()
    lease = models.UUIDField(help_text="The claim that took it; without that claim it is free.")
    ttl = models.FloatField(help_text="Seconds that it lasts unless its node renews it.")
    expires_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["job_id"], name="lock_holder")]

    def __str__(self) -> str:
        return self.key


class WebHost(models.Model):
    """A server that scrapers visit: its rules, and when it may be asked again."""

    name = models.CharField(max_length=300, primary_key=True, help_text="Host, with its port where it is unusual.")
    free_at = models.DateTimeField(db_default=Now(), help_text="No request before this.")
    booked_until = models.DateTimeField(db_default=Now(), help_text="Jobs that were sent away come back by then.")
    robots = models.TextField(null=True, help_text="Its robots.txt; none: not read yet.")  # noqa: DJ001 - "" is a rule
    robots_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class CrawledPage(models.Model):
    """A page that a crawl has submitted a job for, so that it submits none twice."""

    crawl = models.CharField(max_length=100)
    url = models.CharField(max_length=2000)
    found_by = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_constraint=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("crawl", "url", name="crawl_submits_once")]

    def __str__(self) -> str:
        return self.url


class Tally(models.Model):
    """What changed in number, written by triggers in the statement that changed it: see migration 0002.

    Adding a row meets nobody, where counting up in one would make every commit wait for its neighbour.
    """

    name = models.CharField(max_length=16, help_text="jobs, submitted, ended, attempts, seconds, or seconds_sum.")
    kind = models.CharField(max_length=100)
    priority = models.SmallIntegerField(default=-1)
    label = models.CharField(max_length=16, help_text="A state, or the upper bound of a histogram's bucket.")
    amount = models.FloatField()

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.label}: {self.amount:+g}"


class Total(models.Model):
    """The sum of the tallies that the dispatcher has rolled up."""

    name = models.CharField(max_length=16)
    kind = models.CharField(max_length=100)
    priority = models.SmallIntegerField()
    label = models.CharField(max_length=16)
    amount = models.FloatField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "kind", "priority", "label"], name="total_is_one"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.label}: {self.amount:g}"
