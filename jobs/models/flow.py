"""What jobs wait for, and what follows from their end."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.job import Job, uuid7


class Needs(models.TextChoices):
    """What a job needs of one that it waits for."""

    SUCCESS = "success"
    END = "end"  # however it ended


class Dependency(models.Model):
    """A job that waits for another."""

    child = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="dependencies", db_constraint=False)
    parent_id = models.UUIDField()
    needs = models.CharField(max_length=7, choices=Needs.choices, default=Needs.SUCCESS)
    met = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("child", "parent_id", name="dependency_is_one")]
        indexes: ClassVar = [models.Index(fields=["parent_id"], name="dependency_unmet", condition=Q(met=False))]

    def __str__(self) -> str:
        return f"{self.child_id} waits for {self.parent_id}"


class Batch(models.Model):
    """Jobs that were submitted together, and the job that runs when all of them have ended."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, blank=True, default="")
    size = models.PositiveIntegerField(help_text="Jobs in it, without the callback.")
    callback_id = models.UUIDField(null=True, help_text="The job that waits for all of it.")
    callback_needs = models.CharField(max_length=7, choices=Needs.choices, default=Needs.END)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, help_text="When its last job ended for the first time.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["finished_at"], name="batch_finished", condition=Q(finished_at__isnull=False))
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


class Ended(models.Model):
    """The end of a job from which something follows, until the dispatcher has seen to that.

    Written by a trigger, in the statement that ends the job, whichever that is: see migration 0008.
    """

    job_id = models.UUIDField()
    batch_id = models.UUIDField(null=True)
    state = models.CharField(max_length=10)

    def __str__(self) -> str:
        return f"{self.job_id}: {self.state}"
