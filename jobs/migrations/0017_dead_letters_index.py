from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index that is built beside the work of others cannot be part of a transaction

    dependencies = [("jobs", "0016_operations")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("state", "failed")),
                fields=["kind", "fingerprint", "finished_at"],
                name="job_dead",
            ),
        ),
    ]
