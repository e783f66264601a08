import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Token",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="What it is for.", max_length=100)),
                (
                    "prefix",
                    models.CharField(
                        help_text="How the secret begins: enough to know it by, not to use it.", max_length=16
                    ),
                ),
                (
                    "digest",
                    models.CharField(
                        editable=False, help_text="SHA-256 of the secret, in hex.", max_length=64, unique=True
                    ),
                ),
                (
                    "scopes",
                    models.JSONField(
                        blank=True, default=list, help_text="Acts that it is good for; none: all of its user's."
                    ),
                ),
                (
                    "requests_per_minute",
                    models.PositiveIntegerField(blank=True, help_text="None: as the settings say.", null=True),
                ),
                (
                    "backlog",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Unfinished jobs that its user may have; none: as the settings say.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField(blank=True, help_text="None: never.", null=True)),
                ("last_used_at", models.DateTimeField(help_text="To the minute.", null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tokens", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Action",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("actor", models.CharField(max_length=255)),
                ("verb", models.CharField(max_length=50)),
                (
                    "targets",
                    models.JSONField(default=list, help_text="Ids or names of what it was done to: the first 1000."),
                ),
                ("count", models.PositiveIntegerField(help_text="How many it was done to.")),
                (
                    "detail",
                    models.JSONField(default=dict, help_text="What else there is to know, such as the new limit."),
                ),
                ("door", models.CharField(help_text="Method and path of the request, or the command.", max_length=300)),
                ("address", models.GenericIPAddressField(help_text="Where the request came from.", null=True)),
                ("request_id", models.CharField(blank=True, max_length=100)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "token",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="access.token",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["targets"], name="action_by_target", opclasses=["jsonb_path_ops"]
                    ),
                    models.Index(fields=["at"], name="action_by_time"),
                ],
            },
        ),
    ]
