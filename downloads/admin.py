"""Staff's view of downloads."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from downloads.models import Download, Limits
from jobs.admin import ActsOnJobs, ReadOnlyAdmin


@admin.register(Download)
class DownloadAdmin(ActsOnJobs):
    list_display = ("job_id", "url", "output", "state", "percent", "bytes_done", "total_bytes", "bytes_per_second")
    list_filter = ("job__state",)
    search_fields = ("=job__id", "url", "output")
    search_help_text = "An id, or part of the URL or file name"
    ordering = ("-job_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("job")

    @admin.display(ordering="job__state")
    def state(self, download: Download) -> str:
        return download.job.state


@admin.register(Limits)
class LimitsAdmin(ReadOnlyAdmin):
    list_display = ("rate_limit",)
