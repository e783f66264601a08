"""Staff's view of jobs: rows to read, and actions that go through the lifecycle."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import lifecycle
from jobs.access.audit import acting
from jobs.access.callers import of_user
from jobs.access.roles import Act
from jobs.admin import schedules, searching, tables
from jobs.admin.rows import ReadOnlyAdmin, may_for_all
from jobs.models import Attempt, Job, Leadership, Node
from jobs.sealed import masked

__all__ = ["ActsOnJobs", "ReadOnlyAdmin", "schedules", "tables"]


class AttemptInline(admin.TabularInline[Attempt, Job]):
    model = Attempt
    fields = ("number", "outcome", "started_at", "seconds", "node", "error", "trace")
    readonly_fields = fields
    extra = 0
    can_delete = False
    ordering = ("number",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="traceback")
    def trace(self, attempt: Attempt) -> str | SafeString:
        return format_html("<pre>{}</pre>", attempt.traceback) if attempt.traceback else "-"


Verb = Callable[[Collection[Any]], Any]


def _act(request: HttpRequest, rows: QuerySet[Any], verb: Verb, done: str) -> None:
    ids = list(rows.values_list("pk", flat=True))
    with acting(request, of_user(request.user), verb.__name__, ids) as detail:
        result = verb(ids)
        detail["reached"] = reached = result if isinstance(result, int) else len(result)
    messages.success(request, f"{reached} {done}.")
    if reached < len(ids):
        messages.warning(request, f"{len(ids) - reached} left as they are: their state does not allow it.")


class ActsOnJobs(ReadOnlyAdmin):
    """The lifecycle's verbs as admin actions. Also serves rows whose primary key is a job's."""

    actions = ("cancel_jobs", "requeue_jobs", "pause_jobs", "resume_jobs")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return may_for_all(request, Act.CHANGE)

    @admin.action(description="Cancel", permissions=["act"])
    def cancel_jobs(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        _act(request, rows, lifecycle.cancel, "cancelled, or asked to stop")

    @admin.action(description="Run again (failed and cancelled ones)", permissions=["act"])
    def requeue_jobs(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        _act(request, rows, lifecycle.requeue, "queued again")

    @admin.action(description="Pause (waiting ones)", permissions=["act"])
    def pause_jobs(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        _act(request, rows, lifecycle.pause, "paused")

    @admin.action(description="Resume (paused ones)", permissions=["act"])
    def resume_jobs(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        _act(request, rows, lifecycle.resume, "resumed")


@admin.register(Job)
class JobAdmin(ActsOnJobs):
    list_display = ("id", "kind", "state", "owner", "priority", "attempt", "created_at", "error_line", "page")
    list_select_related = ("owner",)
    list_filter = ("state", "priority", "lane", "reason")
    search_fields = ("id",)  # that there is a search; what it takes is the language
    search_help_text = "As on the page of jobs: state:failed kind:echo payload.customer:42, or an id"
    ordering = ("-id",)
    exclude = ("payload", "metadata", "result", "checkpoint", "progress")
    readonly_fields = ("payload_json", "metadata_json", "result_json", "progress_json", "checkpoint_json")
    inlines = (AttemptInline,)

    def view_on_site(self, job: Job) -> str:
        return reverse("dashboard:job", args=[job.pk])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return searching.find(request, queryset, search_term) if search_term else queryset, False

    @admin.display(description="page")
    def page(self, job: Job) -> SafeString:
        return format_html('<a href="{}">its page</a>', self.view_on_site(job))

    @admin.display(description="error")
    def error_line(self, job: Job) -> str:
        return job.error.partition("\n")[0][:120]

    def payload_json(self, job: Job) -> SafeString:
        return _pretty(masked(job.payload))

    def metadata_json(self, job: Job) -> SafeString:
        return _pretty(job.metadata)

    def result_json(self, job: Job) -> SafeString:
        return _pretty(job.result)

    def progress_json(self, job: Job) -> SafeString:
        return _pretty(job.progress)

    def checkpoint_json(self, job: Job) -> SafeString:
        return _pretty(job.checkpoint)


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "number", "outcome", "started_at", "seconds", "node", "error")
    list_filter = ("outcome",)
    search_fields = ("job__id",)
    search_help_text = "The id of a job"
    ordering = ("-id",)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        return searching.of_job(queryset, search_term) if search_term else queryset, False


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    list_display = ("name", "slots", "queues", "seen_at", "expires_at", "draining", "pid")
    ordering = ("-seen_at",)


@admin.register(Leadership)
class LeadershipAdmin(ReadOnlyAdmin):
    list_display = ("name", "holder", "term", "renewed_at", "expires_at")


def _pretty(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
