"""Who may use the API."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class OpenOnLoopbackOrStaff(BasePermission):
    """Open where `manage.py up` serves its own machine, staff only anywhere else."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return open_on_loopback(request.META.get("REMOTE_ADDR", "")) or bool(request.user and request.user.is_staff)


def open_on_loopback(address: str) -> bool:
    """Whether this caller needs no login: the setting says so, and the call does come from this machine."""
    try:
        return bool(settings.OPEN_ON_LOOPBACK) and ip_address(address).is_loopback
    except ValueError:
        return False
