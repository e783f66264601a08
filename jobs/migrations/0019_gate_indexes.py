"""Held jobs have an index of their own, and are no longer in those that the dispatcher reads its windows by."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

LIVE = ("blocked", "scheduled", "queued", "retrying", "paused", "running")
OPEN = models.Q(("state", "queued"), models.Q(("admission", 1), _negated=True))


class Migration(migrations.Migration):
    atomic = False  # an index that is built beside the work of others cannot be part of a transaction

    dependencies = [("jobs", "0018_gates")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(fields=["lane", "priority", "-rank", "ready_at", "id"], name="job_open", condition=OPEN),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["lane", "ready_at"],
                name="job_open_ageing",
                condition=models.Q(("priority__lt", 3), ("state", "queued"), models.Q(("admission", 1), _negated=True)),
            ),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["lane", "priority", "limit_key", "kind", "-rank", "ready_at", "id"],
                name="job_held",
                condition=models.Q(("admission", 1), ("state", "queued")),
            ),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(fields=["id"], name="job_admitted", condition=models.Q(("admission", 2), ("state", "queued"))),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["limit_key", "state"],
                name="job_of_key",
                condition=models.Q(("state__in", LIVE), models.Q(("limit_key", ""), _negated=True)),
            ),
        ),
        RemoveIndexConcurrently("job", "job_ready"),
        RemoveIndexConcurrently("job", "job_ageing"),
    ]
