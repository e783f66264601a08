"""How much of the disk the downloads of one owner may take together: DOWNLOAD_QUOTA_BYTES, counted from the rows.

A file counts from when its length is known until its download is cancelled or deleted, one whose length nobody says as
far as it has come. Downloads that belong to nobody in particular are not counted.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Coalesce

from downloads.models import Download
from jobs.models import State

_LOCKS = 0x71756F74  # the first of the two numbers that our locks in Postgres have


class Exceeded(Exception):
    """The owner has no room for the file. The message says how much there is."""


def taken(owner: int) -> int:
    """Bytes that the owner's downloads take, or will take when they are complete."""
    rows = Download.objects.filter(job__owner_id=owner).exclude(job__state=State.CANCELLED)
    return rows.aggregate(bytes=Sum(Coalesce("total_bytes", "bytes_done")))["bytes"] or 0


def check(download: Download, size: int) -> None:
    """Inside a transaction that goes on to record the size: until it ends, no other file of the owner's is let in.

    Raises Exceeded.
    """
    owner, most = download.job.owner_id, settings.DOWNLOAD_QUOTA_BYTES
    if not most or owner is None:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCKS, owner])
    row = Download.objects.get(pk=download.pk)
    others = taken(owner) - (row.bytes_done if row.total_bytes is None else row.total_bytes)
    if others + size > most:
        raise Exceeded(
            f"The file has {size} bytes, and its owner has {max(0, most - others)} left of {most}. "
            "Delete downloads that are not needed any more, then retry."
        )
