from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0022_result_expiry_index")]

    operations = [
        migrations.AddField(
            "node",
            "drain_asked",
            models.BooleanField(
                default=False, db_default=False, help_text="By an operator; it hears of it with its next heartbeat."
            ),
        ),
    ]
