from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


@pytest.fixture
def staff(client: Client, settings: Any) -> Client:
    """A client that somebody is signed in with who may do everything."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - settings are loaded after this file

    settings.OPEN_ON_LOOPBACK = False
    client.force_login(User.objects.create_superuser("operator"))
    return client
