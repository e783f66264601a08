from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0020_answer")]

    operations = [
        migrations.AddField(
            "job",
            "result_ttl",
            models.FloatField(
                help_text="Seconds that its result and files are kept once it is completed; none: as long as it is.",
                null=True,
            ),
        ),
        migrations.AddField(
            "job", "result_expired_at", models.DateTimeField(help_text="When they were deleted.", null=True)
        ),
    ]
