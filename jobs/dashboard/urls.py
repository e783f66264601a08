from __future__ import annotations

from django.urls import path

from jobs.dashboard import audit, examination, fleet, job, listing, live, overview, schedules

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("jobs", listing.jobs, name="jobs"),
    path("jobs/act", listing.act, name="act-on-jobs"),
    path("jobs/new", job.submit, name="submit"),
    path("jobs/<uuid:pk>", job.job, name="job"),
    path("jobs/<uuid:pk>/<slug:action>", job.act, name="act-on-job"),
    path("schedules", schedules.schedules, name="schedules"),
    path("schedules/new", schedules.edit, name="new-schedule"),
    path("schedules/preview", schedules.preview, name="preview-schedule"),
    path("schedules/<uuid:pk>", schedules.edit, name="edit-schedule"),
    path("schedules/<uuid:pk>/<slug:action>", schedules.act, name="act-on-schedule"),
    path("workers", fleet.show_workers, name="workers"),
    path("doctor", examination.show_findings, name="doctor"),
    path("audit", audit.actions, name="audit"),
    path("live", live.stream, name="live"),
]
