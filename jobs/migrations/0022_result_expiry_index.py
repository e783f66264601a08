from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index that is built beside the work of others cannot be part of a transaction

    dependencies = [("jobs", "0021_result_ttl")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                models.Func(
                    "finished_at",
                    "result_ttl",
                    arg_joiner=" AT TIME ZONE 'UTC' + interval '1 second' * ",
                    output_field=models.DateTimeField(),
                    template="(%(expressions)s)",
                ),
                condition=models.Q(("result_expired_at", None), ("result_ttl__isnull", False), ("state", "completed")),
                name="job_result_expiry",
            ),
        ),
    ]
