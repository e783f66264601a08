"""Which dispatcher leads: a lease in Postgres that its holder renews. Any number may run; one leads."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs.models import Leadership

DISPATCHER = "dispatcher"


def lead(holder: str) -> int | None:
    """Take or renew the lead. Returns the term while `holder` leads, none while somebody else does.

    The lead decides who does the work, not whether it is right: two that both believe to lead for a moment send
    some messages twice, and the rows decide.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LEAD, {"name": DISPATCHER, "holder": holder, "lease": settings.DISPATCHER_LEASE_SECONDS})
        row = cursor.fetchone()
    return int(row[0]) if row else None


_LEAD = """
INSERT INTO jobs_leadership AS held (name, holder, term, expires_at)
VALUES (%(name)s, %(holder)s, 1, now() + %(lease)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, expires_at = excluded.expires_at, renewed_at = now(),
    term = held.term + CASE WHEN held.holder = excluded.holder THEN 0 ELSE 1 END
WHERE held.holder = excluded.holder OR held.expires_at < now()
RETURNING term
"""


def resign(holder: str) -> None:
    """Give the lead up, so that a standby need not wait for the lease to run out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_leadership SET expires_at = now() - interval '1 second' WHERE name = %s AND holder = %s",
            [DISPATCHER, holder],
        )


def leader() -> Leadership | None:
    """Who leads, if anybody does now."""
    return Leadership.objects.filter(name=DISPATCHER, expires_at__gt=Now()).first()
