"""Gates: where jobs are held back, by a person or by a limit. See jobs/gates.py."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Scope(models.TextChoices):
    """Which jobs have to pass a gate."""

    EVERYTHING = "everything"
    QUEUE = "queue"  # critical, high, medium or low, in both lanes
    KIND = "kind"
    KEY = "key"  # a limit key, or all that begin alike: "host:*"


class Gate(models.Model):
    """One gate: closed while it is paused, narrow where it has limits. A row with neither means nothing."""

    scope = models.CharField(max_length=10, choices=Scope.choices)
    target = models.CharField(max_length=200, blank=True, help_text="The queue, kind or key; empty for everything.")

    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=255, blank=True, default="")
    pause_reason = models.CharField(max_length=500, blank=True, default="")
    paused_until = models.DateTimeField(null=True, help_text="None: until somebody resumes it.")

    concurrency = models.PositiveIntegerField(null=True, help_text="Jobs at once, over all workers.")
    rate = models.PositiveIntegerField(null=True, help_text="Starts in any `per` seconds, over all workers.")
    per = models.FloatField(null=True, help_text="Seconds.")
    backlog = models.PositiveIntegerField(null=True, help_text="Unfinished jobs of a key; more are not taken.")
    limited_at = models.DateTimeField(null=True)
    limited_by = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("scope", "target", name="gate_is_one"),
            models.CheckConstraint(name="gate_scope_is_known", condition=Q(scope__in=Scope.values)),
            models.CheckConstraint(
                name="gate_rate_has_its_time",
                condition=Q(rate__isnull=True, per__isnull=True) | Q(rate__isnull=False, per__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.target}".strip()


class Permit(models.Model):
    """A start that a rate was asked for: it counts from admission until its time after the start is over."""

    key = models.CharField(max_length=220, help_text="The rate that was asked: a queue, a kind, or one key.")
    job_id = models.UUIDField()
    attempt = models.PositiveIntegerField(help_text="The attempt that it is for.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("key", "job_id", "attempt", name="permit_counts_once")]

    def __str__(self) -> str:
        return f"{self.key}: attempt {self.attempt} of {self.job_id}"
