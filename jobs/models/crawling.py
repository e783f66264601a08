"""What scrapers remember between jobs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from jobs.models.job import Job


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
