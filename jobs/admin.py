"""Staff's view of jobs: rows to read, and actions that go through the lifecycle."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import lifecycle
from jobs.access.audit import acting
from jobs.access.callers import of_user
from jobs.access.recording import Recorded
from jobs.access.roles import Act
from jobs.models import (
    Attempt,
    Batch,
    CrawledPage,
    Dependency,
    Fire,
    Job,
    Leadership,
    Lock,
    LogLine,
    Moment,
    Node,
    Notice,
    Schedule,
    Total,
    WebHost,
)
from jobs.schedules import editing
from jobs.schedules.definition import check, timing_of
from jobs.schedules.timing import next_five
from jobs.sealed import masked
from jobs.submission import InvalidSubmission

_COUNTED = 10_000  # rows; an exact count of millions would make every page slow


class BoundedPaginator(Paginator[Any]):
    """Counts no further than people page."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return rows[:_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


def _may_for_all(request: HttpRequest, act: Act) -> bool:
    caller = of_user(request.user)
    return caller is not None and caller.sees_all(act)


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows change through the lifecycle alone, so forms would be a way around it.

    Roles decide here too, not Django's permissions: `needs` is the act, and it must extend to everybody's jobs.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    needs = Act.SEE

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return _may_for_all(request, self.needs)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


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
        return _may_for_all(request, Act.CHANGE)

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
    search_fields = ("=id", "=kind")
    search_help_text = "An id, or a kind"
    ordering = ("-id",)
    exclude = ("payload", "metadata", "result", "checkpoint", "progress")
    readonly_fields = ("payload_json", "metadata_json", "result_json", "progress_json", "checkpoint_json")
    inlines = (AttemptInline,)

    def view_on_site(self, job: Job) -> str:
        return reverse("dashboard:job", args=[job.pk])

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
    search_fields = ("=job__id",)
    ordering = ("-id",)


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    list_display = ("name", "slots", "queues", "seen_at", "expires_at", "draining", "pid")
    ordering = ("-seen_at",)


@admin.register(Leadership)
class LeadershipAdmin(ReadOnlyAdmin):
    list_display = ("name", "holder", "term", "renewed_at", "expires_at")


# What is only looked at: the columns of its list.
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


class ScheduleForm(forms.ModelForm[Schedule]):
    """Says what the API would say; the kind's own checks of the payload included."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            for name, value in cleaned.items():
                setattr(self.instance, name, value)
            try:
                check(self.instance)
            except InvalidSubmission as error:
                for fault in error.faults:
                    field = fault.pointer.strip("/").partition("/")[0]
                    self.add_error(field if field in self.fields else None, ValidationError(str(fault.detail)))
            cleaned["payload"] = self.instance.payload  # its secrets are sealed by now
        return cleaned


@admin.register(Schedule)
class ScheduleAdmin(Recorded):
    paginator = BoundedPaginator
    show_full_result_count = False
    form = ScheduleForm
    list_display = ("name", "kind", "timing", "next_at", "paused_at")
    list_filter = ("misfire", "overlap")
    search_fields = ("name", "kind")
    readonly_fields = ("timing", "next_five", "paused_at", "paused_by")
    actions = ("pause_schedules", "resume_schedules", "run_schedules")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _may_for_all(request, Act.SEE)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _may_for_all(request, Act.SEE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _may_for_all(request, Act.OPERATE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _may_for_all(request, Act.OPERATE)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _may_for_all(request, Act.OPERATE)

    @admin.display(description="in words")
    def timing(self, schedule: Schedule) -> str:
        try:
            return timing_of(schedule).words
        except InvalidSubmission:
            return "-"

    @admin.display(description="next fires")
    def next_five(self, schedule: Schedule) -> str:
        if schedule.next_at is None:
            return "-"
        times = next_five(timing_of(schedule), editing.database_now())
        return ", ".join(f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in times)

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:  # noqa: ARG002
        try:
            editing.write(obj)
        except InvalidSubmission as error:  # what the form could not know: the time has passed meanwhile
            messages.error(request, f"Not saved: {error}")

    @admin.action(description="Pause", permissions=["change"])
    def pause_schedules(self, request: HttpRequest, rows: QuerySet[Schedule]) -> None:
        ids = list(rows.values_list("pk", flat=True))
        with acting(request, of_user(request.user), "pause schedule", ids):
            paused = editing.pause(ids, by=request.user.get_username())
        messages.success(request, f"{paused} paused.")

    @admin.action(description="Resume", permissions=["change"])
    def resume_schedules(self, request: HttpRequest, rows: QuerySet[Schedule]) -> None:
        ids = list(rows.values_list("pk", flat=True))
        with acting(request, of_user(request.user), "resume schedule", ids):
            resumed = editing.resume(ids)
        messages.success(request, f"{resumed} resumed.")

    @admin.action(description="Run now", permissions=["change"])
    def run_schedules(self, request: HttpRequest, rows: QuerySet[Schedule]) -> None:
        for schedule in rows:
            try:
                with acting(request, of_user(request.user), "run schedule", [schedule.pk]):
                    fire = editing.run_now(schedule.pk, by=request.user.get_username())
                messages.success(request, f"{schedule}: submitted job {fire.job_id}.")
            except (editing.StillRunning, InvalidSubmission) as error:
                messages.warning(request, f"{schedule}: {error}")


@admin.register(Fire)
class FireAdmin(ReadOnlyAdmin):
    list_display = ("schedule", "at", "outcome", "job_id", "missed", "by", "note")
    list_filter = ("outcome",)
    search_fields = ("schedule__name", "=job_id")
    ordering = ("-fired_at",)


def _pretty(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
