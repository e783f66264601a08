"""Built beside running code: an ordinary index would hold up every submission while it is made."""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0006_job_unique_key")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    """
                    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS job_key_is_unique ON jobs_job (kind, unique_key)
                    WHERE finished_at IS NULL AND unique_key IS NOT NULL
                    """,
                    "DROP INDEX CONCURRENTLY IF EXISTS job_key_is_unique",
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name="job",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("finished_at__isnull", True), ("unique_key__isnull", False)),
                        fields=("kind", "unique_key"),
                        name="job_key_is_unique",
                    ),
                )
            ],
        )
    ]
