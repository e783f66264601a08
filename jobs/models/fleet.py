"""Who does the work: nodes, the dispatcher that leads, and what attempts keep to themselves."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


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
    drain_asked = models.BooleanField(
        default=False, db_default=False, help_text="By an operator; it hears of it with its next heartbeat."
    )
    pid = models.PositiveIntegerField()
    memory_bytes = models.PositiveBigIntegerField(default=0, help_text="Resident memory of it and its pool.")
    release = models.CharField(max_length=64, default="", db_default="", help_text="Of the code that it runs.")

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
