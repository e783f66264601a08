"""Bring the stack's own database up to date, in this process: a `migrate` of its own would import everything again."""

from __future__ import annotations

from pathlib import Path

import dj_database_url
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from project.local.datadir import StackError

ADMINISTRATOR = "admin"


def bring_up_to_date(url: str, admin_password: str, logs: Path) -> None:
    """Apply the migrations, and make an administrator where there is none. Uses its thread's connection only."""
    connection.settings_dict.update(dj_database_url.parse(url))
    try:
        with (logs / "migrate.log").open("w") as log:
            call_command("migrate", interactive=False, stdout=log, stderr=log, no_color=True)
        users = get_user_model()._default_manager  # noqa: SLF001 - Django's documented name for it
        if not users.filter(is_superuser=True).exists():
            users.create_superuser(ADMINISTRATOR, password=admin_password)
    except (DatabaseError, CommandError) as error:
        raise StackError(f"The migrations failed: {error}\nThe whole story: {logs / 'migrate.log'}") from error
    finally:
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined] # the back end of Postgres has it
