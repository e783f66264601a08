"""The index by state forgets the states that every job passes through, so that no change on that way touches it."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0014_lighter_changes")]
    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["state", "-id"],
                name="job_at_rest",
                condition=~models.Q(state__in=("queued", "running", "completed")),
            ),
        ),
        RemoveIndexConcurrently("job", "job_by_state"),
    ]
