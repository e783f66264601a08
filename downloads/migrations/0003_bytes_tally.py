"""A trigger that notes the bytes that a download has gained, in the statement that says so: see jobs/tally.py."""

from django.db import migrations

CREATE = """
CREATE FUNCTION downloads_tally_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_tally (name, kind, priority, label, amount)
    VALUES ('bytes', 'download', -1, '', NEW.bytes_done - OLD.bytes_done);
    RETURN NULL;
END $$;

CREATE TRIGGER downloads_tally_bytes AFTER UPDATE OF bytes_done ON downloads_download
    FOR EACH ROW WHEN (NEW.bytes_done > OLD.bytes_done) EXECUTE FUNCTION downloads_tally_bytes();
"""

DROP = """
DROP TRIGGER downloads_tally_bytes ON downloads_download;
DROP FUNCTION downloads_tally_bytes();
"""


class Migration(migrations.Migration):
    dependencies = [("downloads", "0002_content_and_room"), ("jobs", "0002_tally")]
    operations = [migrations.RunSQL(CREATE, DROP)]
