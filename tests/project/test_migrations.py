from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_the_migrations_are_those_that_the_models_ask_for() -> None:
    call_command("makemigrations", check=True, dry_run=True)  # exits the process with 1 where one is missing
