"""The tables that are only looked at: a list of rows, and each row."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model

from jobs.admin.rows import ReadOnlyAdmin
from jobs.models import Batch, CrawledPage, Dependency, Lock, LogLine, Moment, Notice, Total, WebHost

# The columns of each list.
_ROWS: dict[type[Model], tuple[str, ...]] = {
    Batch: ("id", "name", "size", "callback_id", "created_at", "finished_at"),
    CrawledPage: ("crawl", "url", "found_by_id"),
    Dependency: ("child_id", "parent_id", "needs", "met"),
    Lock: ("key", "job_id", "expires_at"),
    LogLine: ("job_id", "attempt", "at", "level", "text"),
    Moment: ("at", "submitted", "completed", "failed", "retried", "waiting", "running"),
    Notice: ("event", "job_id", "to", "delivery_id", "created_at"),
    Total: ("name", "kind", "priority", "label", "amount"),
    WebHost: ("name", "free_at", "booked_until", "robots_at"),
}
for _model, _columns in _ROWS.items():
    admin.site.register(_model, ReadOnlyAdmin, list_display=_columns, ordering=("-pk",))
