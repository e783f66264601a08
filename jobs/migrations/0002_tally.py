"""Triggers that note every change in number, in the statement that makes it: see jobs/tally.py.

They run once per statement, over all its rows, so a chunk of a hundred jobs costs a handful of rows.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION jobs_tally_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_tally (name, kind, priority, label, amount)
    SELECT what.name, kind, priority, CASE what.name WHEN 'jobs' THEN state ELSE '' END, count(*)
    FROM added CROSS JOIN (VALUES ('jobs'), ('submitted')) AS what(name)
    GROUP BY what.name, kind, priority, CASE what.name WHEN 'jobs' THEN state ELSE '' END;
    RETURN NULL;
END $$;

CREATE FUNCTION jobs_tally_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_tally (name, kind, priority, label, amount)
    SELECT 'jobs', kind, priority, state, sum(n) FROM (
        SELECT kind, priority, state, 1 AS n FROM after_it UNION ALL SELECT kind, priority, state, -1 FROM before_it
    ) AS moved GROUP BY kind, priority, state HAVING sum(n) <> 0;
    IF FOUND THEN
        INSERT INTO jobs_tally (name, kind, priority, label, amount)
        SELECT 'ended', now_is.kind, now_is.priority, now_is.state, count(*)
        FROM after_it now_is JOIN before_it was USING (id)
        WHERE now_is.state <> was.state AND now_is.state IN ('completed', 'failed', 'cancelled', 'retrying')
        GROUP BY now_is.kind, now_is.priority, now_is.state;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION jobs_tally_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_tally (name, kind, priority, label, amount)
    SELECT 'jobs', kind, priority, state, -count(*) FROM gone GROUP BY kind, priority, state;
    RETURN NULL;
END $$;

CREATE FUNCTION jobs_tally_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_tally (name, kind, priority, label, amount)
    SELECT 'seconds', kind, -1, bucket, count(*) FROM (
        SELECT kind, coalesce((ARRAY[0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600])[
            1 + width_bucket(seconds, ARRAY[0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]
                ::float8[])]::text, '+Inf') AS bucket
        FROM ended WHERE seconds IS NOT NULL
    ) AS run GROUP BY kind, bucket
    UNION ALL
    SELECT 'seconds_sum', kind, -1, '', sum(seconds) FROM ended WHERE seconds IS NOT NULL GROUP BY kind
    UNION ALL
    SELECT 'attempts', kind, -1, outcome, count(*) FROM ended GROUP BY kind, outcome;
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_tally_inserted AFTER INSERT ON jobs_job
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_inserted();
CREATE TRIGGER jobs_tally_updated AFTER UPDATE ON jobs_job
    REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_updated();
CREATE TRIGGER jobs_tally_deleted AFTER DELETE ON jobs_job
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_deleted();
CREATE TRIGGER jobs_tally_attempts AFTER INSERT ON jobs_attempt
    REFERENCING NEW TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_attempts();
"""

DROP = """
DROP TRIGGER jobs_tally_inserted ON jobs_job;
DROP TRIGGER jobs_tally_updated ON jobs_job;
DROP TRIGGER jobs_tally_deleted ON jobs_job;
DROP TRIGGER jobs_tally_attempts ON jobs_attempt;
DROP FUNCTION jobs_tally_inserted(), jobs_tally_updated(), jobs_tally_deleted(), jobs_tally_attempts();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
