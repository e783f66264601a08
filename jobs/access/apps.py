from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    name = "jobs.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        post_migrate.connect(_make_groups, sender=self)


def _make_groups(using: str, **_: Any) -> None:
    """A group for each role, after every migration and every flush, as Django does with its permissions."""
    from django.contrib.auth.models import Group  # noqa: PLC0415 - models are not loaded yet when this file is

    from jobs.access.roles import Role  # noqa: PLC0415

    for role in Role:
        Group.objects.using(using).get_or_create(name=role.value)
