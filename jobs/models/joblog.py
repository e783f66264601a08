"""What handlers said while they worked."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from jobs.models.job import Job


class LogLine(models.Model):
    """A line that an attempt wrote with ctx.log. Of each attempt a bounded number is kept: see jobs/joblog.py."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="log_lines", db_constraint=False, db_index=False
    )
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField(help_text="By the worker's clock.")
    level = models.CharField(max_length=8)
    text = models.TextField()

    class Meta:
        # The job alone has no index: this one begins with it.
        indexes: ClassVar = [models.Index(fields=["job", "id"], name="log_of_job")]

    def __str__(self) -> str:
        return self.text
