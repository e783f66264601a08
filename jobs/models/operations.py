"""Operations: one verb upon many jobs, asked for by somebody, and carried on until it is done."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.job import uuid7


class Progress(models.TextChoices):
    """How far an operation is."""

    UNDER_WAY = "under_way"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Operation(models.Model):
    """What was asked for, by whom, and how far it is. See jobs/operations.py."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    verb = models.CharField(max_length=16)
    query = models.TextField(help_text="The search that named the jobs.")
    arguments = models.JSONField(default=dict)
    actor = models.CharField(max_length=255)
    progress = models.CharField(max_length=10, choices=Progress.choices, default=Progress.UNDER_WAY)
    total = models.PositiveIntegerField(default=0, help_text="Jobs that were named when it began.")
    done = models.PositiveIntegerField(default=0, help_text="Jobs that it has come to.")
    reached = models.PositiveIntegerField(default=0, help_text="Jobs that it changed; others had moved on meanwhile.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="operation_progress_is_known", condition=Q(progress__in=Progress.values)),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="operation_under_way", condition=Q(progress=Progress.UNDER_WAY)),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.query} by {self.actor}: {self.done} of {self.total}"


class Target(models.Model):
    """A job that an operation has still to come to, as it was when the operation began."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="targets")
    job_id = models.UUIDField()
    attempt = models.PositiveIntegerField(help_text="The job's latest then; a later one is another story.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("operation", "job_id", name="operation_names_a_job_once")]

    def __str__(self) -> str:
        return str(self.job_id)
