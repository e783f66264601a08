"""Who was told of the end of a job."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from jobs.models.job import Job


class Notice(models.Model):
    """One message about the end of a job. A job of its own sends it, whose attempts are the log of its delivery."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="notices", db_constraint=False)
    delivery_id = models.UUIDField(help_text="The job that sends it.")
    event = models.CharField(max_length=20, help_text="Such as job.failed.")
    to = models.CharField(max_length=2000, help_text="A URL or a mail address.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["delivery_id"], name="notice_delivery")]

    def __str__(self) -> str:
        return f"{self.event} to {self.to}"
