"""What shall be submitted when, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.job import Priority, uuid7


class Misfire(models.TextChoices):
    """What becomes of times that passed while no dispatcher was there to see them."""

    SKIP = "skip"  # nothing
    COALESCE = "coalesce"  # one job stands for all of them
    CATCH_UP = "catch_up"  # a job for each of the latest few


class Overlap(models.TextChoices):
    """What a fire does while a job of the fire before it still lives."""

    ALLOW = "allow"
    SKIP = "skip"


class Schedule(models.Model):
    """Submits a job again and again: by a cron line, every so many seconds, or once. See jobs/schedules."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    cron = models.CharField(
        max_length=200, blank=True, default="", help_text="Minute, hour, day of the month, month, day of the week."
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Of the cron line, such as Europe/Berlin.")
    every = models.FloatField(null=True, blank=True, help_text="Seconds from one fire to the next.")
    starts_at = models.DateTimeField(
        null=True, blank=True, help_text="From when the seconds are counted; else from when it is written."
    )
    at = models.DateTimeField(null=True, blank=True, help_text="The moment of a schedule that fires once.")

    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.MEDIUM)
    max_retries = models.PositiveIntegerField(null=True, blank=True, help_text="None: as its kind has it.")
    timeout = models.FloatField(null=True, blank=True, help_text="Seconds; none: as its kind has it.")

    misfire = models.CharField(max_length=8, choices=Misfire.choices, default=Misfire.COALESCE)
    grace = models.FloatField(default=60, help_text="Seconds by which a time may be late and still not be missed.")
    catch_up_limit = models.PositiveSmallIntegerField(default=10, help_text="Times that are caught up with at most.")
    overlap = models.CharField(max_length=5, choices=Overlap.choices, default=Overlap.ALLOW)

    next_at = models.DateTimeField(null=True, editable=False, help_text="When it fires next; none: paused, or done.")
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.CharField(max_length=200, blank=True, default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="schedule_has_one_timing",
                condition=Q(every=None, at=None) & ~Q(cron="")
                | Q(cron="", every__gt=0, at=None)
                | Q(cron="", every=None, at__isnull=False),
            ),
            models.CheckConstraint(name="schedule_paused_fires_not", condition=Q(paused_at=None) | Q(next_at=None)),
            models.CheckConstraint(name="schedule_misfire_is_known", condition=Q(misfire__in=Misfire.values)),
            models.CheckConstraint(name="schedule_overlap_is_known", condition=Q(overlap__in=Overlap.values)),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], name="schedule_due", condition=Q(next_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name


class FireOutcome(models.TextChoices):
    SUBMITTED = "submitted"
    OVERLAPPED = "overlapped"  # a job of an earlier fire was still alive
    MISSED = "missed"  # its time passed while nobody could fire it, and its misfire policy lets it go
    REFUSED = "refused"  # what the schedule submits no longer fits its kind


class Fire(models.Model):
    """One time of a schedule and what came of it, written in the transaction that wrote its job."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    at = models.DateTimeField(help_text="The time that it was for; of a run by hand, when that was asked for.")
    outcome = models.CharField(max_length=10, choices=FireOutcome.choices)
    job_id = models.UUIDField(null=True)
    fired_at = models.DateTimeField(db_default=Now())
    missed = models.PositiveIntegerField(default=0, help_text="Times just before it that got no job of their own.")
    by = models.CharField(max_length=200, blank=True, default="", help_text="Who ran it by hand.")
    note = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            # Two dispatchers cannot both fire one time, whatever the code around them does.
            models.UniqueConstraint("schedule", "at", name="fire_is_one"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["job_id"], name="fire_of_job", condition=Q(job_id__isnull=False)),
            models.Index(fields=["fired_at"], name="fire_age"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.at}: {self.outcome}"
