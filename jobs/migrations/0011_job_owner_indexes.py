from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # so that the indexes are built beside a platform at work
    dependencies = [("jobs", "0010_job_owner")]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("owner__isnull", False)), fields=["owner", "-id"], name="job_by_owner"
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at", None), ("owner__isnull", False)),
                fields=["owner"],
                name="job_backlog",
            ),
        ),
    ]
