"""Gates: pauses and limits; and what a job needs to be held back by them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0017_dead_letters_index")]

    operations = [
        migrations.CreateModel(
            name="Gate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(
                        choices=[("everything", "Everything"), ("queue", "Queue"), ("kind", "Kind"), ("key", "Key")],
                        max_length=10,
                    ),
                ),
                (
                    "target",
                    models.CharField(
                        blank=True, help_text="The queue, kind or key; empty for everything.", max_length=200
                    ),
                ),
                ("paused_at", models.DateTimeField(null=True)),
                ("paused_by", models.CharField(blank=True, default="", max_length=255)),
                ("pause_reason", models.CharField(blank=True, default="", max_length=500)),
                ("paused_until", models.DateTimeField(help_text="None: until somebody resumes it.", null=True)),
                ("concurrency", models.PositiveIntegerField(help_text="Jobs at once, over all workers.", null=True)),
                (
                    "rate",
                    models.PositiveIntegerField(help_text="Starts in any `per` seconds, over all workers.", null=True),
                ),
                ("per", models.FloatField(help_text="Seconds.", null=True)),
                (
                    "backlog",
                    models.PositiveIntegerField(help_text="Unfinished jobs of a key; more are not taken.", null=True),
                ),
                ("limited_at", models.DateTimeField(null=True)),
                ("limited_by", models.CharField(blank=True, default="", max_length=255)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(models.F("scope"), models.F("target"), name="gate_is_one"),
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["everything", "queue", "kind", "key"])),
                        name="gate_scope_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("per__isnull", True), ("rate__isnull", True)),
                            models.Q(("per__gt", 0), ("rate__isnull", False)),
                            _connector="OR",
                        ),
                        name="gate_rate_has_its_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Permit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(help_text="The rate that was asked: a queue, a kind, or one key.", max_length=220),
                ),
                ("job_id", models.UUIDField()),
                ("attempt", models.PositiveIntegerField(help_text="The attempt that it is for.")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("key"), models.F("job_id"), models.F("attempt"), name="permit_counts_once"
                    )
                ]
            },
        ),
        migrations.AddField(
            model_name="job",
            name="limit_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Jobs of one key share its limits: a customer, a host.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="admission",
            field=models.SmallIntegerField(
                choices=[(0, "open"), (1, "held"), (2, "admitted")],
                db_default=0,
                default=0,
                help_text="Whether its limits let it start.",
            ),
        ),
    ]
