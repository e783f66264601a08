from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_schedules")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="unique_key",
            field=models.CharField(help_text="One live job of a kind has it.", max_length=200, null=True),
        ),
    ]
