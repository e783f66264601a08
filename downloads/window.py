"""The hours in which downloads run: DOWNLOAD_WINDOW, such as 23:00-06:00 in TIME_ZONE, or always."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.conf import settings
from django.utils import timezone


def opens_in(now: datetime | None = None) -> float:
    """Seconds until downloads may run; 0 while they may."""
    if not settings.DOWNLOAD_WINDOW:
        return 0.0
    start, end = (time.fromisoformat(word) for word in settings.DOWNLOAD_WINDOW.split("-"))
    local = timezone.localtime(now)
    clock = local.time()
    if (start <= clock < end) if start < end else (clock >= start or clock < end):
        return 0.0
    day = local.date() + timedelta(days=clock >= start)
    opening = datetime.combine(day, start, tzinfo=timezone.get_current_timezone())
    # By the clock of the world: the night in between may be an hour longer or shorter.
    return max(0.0, opening.timestamp() - local.timestamp())
