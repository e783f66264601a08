"""Turns at other people's servers: over the whole fleet, a host is asked once per delay.

A turn is taken in the host's row. Whose turn comes soon waits for it; who would wait for long is told when to come
back instead, and those who were sent away are told different times, so that they do not all come at once. A worker
that dies with a turn in hand leaves a pause, and nothing to repair.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from django.db import connection
from django.db.models.functions import Now

from jobs.models import WebHost

_PATIENCE = 2.0  # seconds that a job may hold its slot for a turn
_ROBOTS_KEPT = timedelta(hours=24)  # the longest that RFC 9309 allows

_HOSTS_KEPT = timedelta(days=30)


class ComeBackLater(Exception):
    """The next free turn is far away; there is one in `seconds`."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(f"Others are in line for {host}.")
        self.seconds = seconds


def host_of(url: str) -> str:
    """The host as politeness counts it: by name, with the port where it is not the usual one."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port not in (None, 80, 443) else parts.hostname or ""


def take_turn(host: str, delay: float) -> float:
    """Take the next turn at that host, and keep others from theirs for `delay` seconds after it.

    Returns the seconds until the turn. Raises ComeBackLater where that would be long.
    """
    params: dict[str, str | float] = {"host": host, "delay": delay, "patience": _PATIENCE}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, params)
        if row := cursor.fetchone():
            return max(0.0, float(row[0]))
        cursor.execute(_BOOK, params)
        raise ComeBackLater(host, float(cursor.fetchone()[0]))


# clock_timestamp(), because now() would be the time before waiting for the row.
_TAKE = """
INSERT INTO jobs_webhost (name, free_at) VALUES (%(host)s, now() + %(delay)s * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET free_at = greatest(jobs_webhost.free_at, clock_timestamp()) + %(delay)s * interval '1 second'
WHERE jobs_webhost.free_at <= clock_timestamp() + %(patience)s * interval '1 second'
RETURNING extract(epoch FROM free_at - clock_timestamp()) - %(delay)s
"""

_BOOK = """
UPDATE jobs_webhost SET booked_until = greatest(booked_until, free_at) + %(delay)s * interval '1 second'
WHERE name = %(host)s RETURNING extract(epoch FROM booked_until - clock_timestamp())
"""


def known_robots(host: str) -> str | None:
    """The host's robots.txt as somebody of the fleet has read it lately; none: read it."""
    recent = WebHost.objects.filter(name=host, robots_at__gt=Now() - _ROBOTS_KEPT)
    return recent.values_list("robots", flat=True).first()


def keep_robots(host: str, text: str) -> None:
    """Keep what was read; and, as this happens once a day and host, forget hosts that nobody visits any more."""
    WebHost.objects.filter(free_at__lt=Now() - _HOSTS_KEPT).delete()
    WebHost.objects.filter(name=host).update(robots=text.replace("\x00", ""), robots_at=Now())
