"""How long the first job of each queue has waited, by one look at an index for each."""

from __future__ import annotations

from django.db import connection

from jobs.capacity import queue_name
from jobs.models import Lane, Priority


def oldest() -> dict[str, float | None]:
    """Seconds by queue (`high`, `high.io`); none where nothing is ready."""
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [list(Lane.values), list(Priority.values)])
        return {
            queue_name(priority, lane): None if seconds is None else max(seconds, 0.0)
            for lane, priority, seconds in cursor.fetchall()
        }


_OLDEST = """
SELECT queue.lane, queue.priority, extract(epoch FROM now() - head.ready_at)::float8
FROM (SELECT lane, priority FROM unnest(%s::text[]) lane, unnest(%s::smallint[]) priority) AS queue
LEFT JOIN LATERAL (
    SELECT ready_at FROM jobs_job WHERE state = 'queued' AND admission <> 1 AND lane = queue.lane
           AND priority = queue.priority ORDER BY rank DESC, ready_at, id LIMIT 1
) head ON true
"""
