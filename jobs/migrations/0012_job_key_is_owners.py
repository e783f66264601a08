"""A unique key is its owner's: nobody meets, or is told of, somebody else's job. Made beside running code."""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("jobs", "0011_job_owner_indexes")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    """
                    CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS job_key_is_owners
                    ON jobs_job (owner_id, kind, unique_key) NULLS NOT DISTINCT
                    WHERE finished_at IS NULL AND unique_key IS NOT NULL
                    """,
                    "DROP INDEX CONCURRENTLY IF EXISTS job_key_is_owners",
                ),
                migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS job_key_is_unique", migrations.RunSQL.noop),
            ],
            state_operations=[
                migrations.RemoveConstraint("job", "job_key_is_unique"),
                migrations.AddConstraint(
                    "job",
                    models.UniqueConstraint(
                        condition=models.Q(("finished_at__isnull", True), ("unique_key__isnull", False)),
                        fields=("owner", "kind", "unique_key"),
                        name="job_key_is_owners",
                        nulls_distinct=False,
                    ),
                ),
                migrations.AlterField(
                    "job",
                    "unique_key",
                    models.CharField(
                        help_text="One live job of an owner and a kind has it.", max_length=200, null=True
                    ),
                ),
            ],
        )
    ]
