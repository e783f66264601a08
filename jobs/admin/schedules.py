"""Staff's view of schedules, which may be written here, and of what they did."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from jobs.access.audit import acting
from jobs.access.callers import of_user
from jobs.access.recording import Recorded
from jobs.access.roles import Act
from jobs.admin.rows import BoundedPaginator, ReadOnlyAdmin, may_for_all
from jobs.models import Fire, Schedule
from jobs.schedules import editing
from jobs.schedules.definition import check, timing_of
from jobs.schedules.timing import next_five
from jobs.submission import InvalidSubmission


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
        return may_for_all(request, Act.SEE)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return may_for_all(request, Act.SEE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_for_all(request, Act.OPERATE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return may_for_all(request, Act.OPERATE)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return may_for_all(request, Act.OPERATE)

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
