"""Operations on many jobs, and the fingerprint by which dead letters are grouped."""

import django.db.models.deletion
import django.db.models.functions.datetime
import jobs.models.job
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0015_state_index")]

    operations = [
        migrations.CreateModel(
            name="Operation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=jobs.models.job.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("verb", models.CharField(max_length=16)),
                ("query", models.TextField(help_text="The search that named the jobs.")),
                ("arguments", models.JSONField(default=dict)),
                ("actor", models.CharField(max_length=255)),
                (
                    "progress",
                    models.CharField(
                        choices=[("under_way", "Under Way"), ("completed", "Completed"), ("cancelled", "Cancelled")],
                        default="under_way",
                        max_length=10,
                    ),
                ),
                ("total", models.PositiveIntegerField(default=0, help_text="Jobs that were named when it began.")),
                ("done", models.PositiveIntegerField(default=0, help_text="Jobs that it has come to.")),
                (
                    "reached",
                    models.PositiveIntegerField(
                        default=0, help_text="Jobs that it changed; others had moved on meanwhile."
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("progress", "under_way")), fields=["id"], name="operation_under_way"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("progress__in", ["under_way", "completed", "cancelled"])),
                        name="operation_progress_is_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Target",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("job_id", models.UUIDField()),
                (
                    "attempt",
                    models.PositiveIntegerField(help_text="The job's latest then; a later one is another story."),
                ),
                (
                    "operation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="targets", to="jobs.operation"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("operation"), models.F("job_id"), name="operation_names_a_job_once"
                    )
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="job", options={"permissions": [("edit_payload", "Can run a job again on another payload")]}
        ),
        migrations.AddField(
            model_name="job",
            name="fingerprint",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of a dead letter: what failed, and where.",
                max_length=200,
            ),
        ),
    ]
