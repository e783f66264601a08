"""The state of jobs that wait for others, and the index of batches: made beside running code, which may go on writing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

STATES = ["blocked", "scheduled", "queued", "running", "retrying", "paused", "completed", "failed", "cancelled"]
NAMES = ", ".join(f"'{state}'" for state in STATES)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0008_flow")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                # Not checked against the rows under the lock that adds it: all of them satisfy the narrower one.
                migrations.RunSQL(
                    f"""
                    ALTER TABLE jobs_job DROP CONSTRAINT IF EXISTS job_state_is_known,
                        ADD CONSTRAINT job_state_is_known CHECK (state IN ({NAMES})) NOT VALID
                    """,
                    migrations.RunSQL.noop,
                ),
                migrations.RunSQL(
                    "ALTER TABLE jobs_job VALIDATE CONSTRAINT job_state_is_known", migrations.RunSQL.noop
                ),
            ],
            state_operations=[
                migrations.RemoveConstraint("job", "job_state_is_known"),
                migrations.AddConstraint(
                    "job",
                    models.CheckConstraint(condition=models.Q(("state__in", STATES)), name="job_state_is_known"),
                ),
            ],
        ),
        AddIndexConcurrently(
            "job",
            models.Index(condition=models.Q(("batch_id__isnull", False)), fields=["batch_id"], name="job_of_batch"),
        ),
    ]
