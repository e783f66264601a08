from django.db import migrations

ROLES = ("viewer", "submitter", "operator", "admin")


def make_groups(apps, schema_editor):
    """A group for each role, for people to be put into. A group of that name that is there already is the one."""
    for name in ROLES:
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    initial = True
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
