"""What every change of a job costs: the tallies are joined by a hash, and attempts keep one index less.

The plan of a trigger's query is made once and kept. Made for a statement upon one job it was a nested loop, which then
took a hundred times as long for a chunk of two hundred.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_job_trail")]
    operations = [
        migrations.RunSQL(
            "ALTER FUNCTION jobs_tally_updated() SET enable_nestloop = off",
            "ALTER FUNCTION jobs_tally_updated() RESET enable_nestloop",
        ),
        migrations.AlterField(
            "attempt",
            "job",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempts",
                to="jobs.job",
            ),
        ),
    ]
