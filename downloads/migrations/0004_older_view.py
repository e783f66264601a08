"""The view `downloads`, for people who look into the database as they did at the older downloader's (seed 000)."""

from django.db import migrations

CREATE = """
CREATE VIEW downloads AS
SELECT download.job_id AS id, download.url, download.output,
       CASE job.state WHEN 'running' THEN 'processing'
                      WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'cancelled'
                      ELSE 'queued' END AS status,
       download.bytes_done AS bytes_downloaded, coalesce(download.total_bytes, 0) AS total_bytes,
       job.error, job.created_at, job.started_at, job.finished_at AS completed_at
FROM downloads_download download JOIN jobs_job job ON job.id = download.job_id
"""


class Migration(migrations.Migration):
    dependencies = [("downloads", "0003_bytes_tally"), ("jobs", "0002_tally")]
    operations = [migrations.RunSQL(CREATE, "DROP VIEW downloads")]
