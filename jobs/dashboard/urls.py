from __future__ import annotations

from django.urls import path

from jobs.dashboard import (
    audit,
    deadletters,
    examination,
    fleet,
    flower,
    gates,
    job,
    listing,
    live,
    operations,
    overview,
    schedules,
)

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("jobs", listing.jobs, name="jobs"),
    path("jobs/act", listing.act, name="act-on-jobs"),
    path("jobs/new", job.submit, name="submit"),
    path("jobs/<uuid:pk>", job.job, name="job"),
    path("jobs/<uuid:pk>/<slug:action>", job.act, name="act-on-job"),
    path("dead-letters", deadletters.dead_letters, name="dead"),
    path("operations", operations.listed, name="operations"),
    path("operations/new", operations.order, name="order"),
    path("operations/<uuid:pk>", operations.shown, name="operation"),
    path("operations/<uuid:pk>/stop", operations.stop, name="stop-operation"),
    path("queues", gates.show_queues, name="queues"),
    path("queues/pause", gates.pause, name="pause"),
    path("queues/resume", gates.resume, name="resume"),
    path("queues/limit", gates.limit, name="limit"),
    path("schedules", schedules.schedules, name="schedules"),
    path("schedules/new", schedules.edit, name="new-schedule"),
    path("schedules/preview", schedules.preview, name="preview-schedule"),
    path("schedules/<uuid:pk>", schedules.edit, name="edit-schedule"),
    path("schedules/<uuid:pk>/<slug:action>", schedules.act, name="act-on-schedule"),
    path("workers", fleet.show_workers, name="workers"),
    path("workers/<uuid:pk>/drain", fleet.drain, name="drain"),
    path("doctor", examination.show_findings, name="doctor"),
    path("audit", audit.actions, name="audit"),
    path("flower", flower.admitted, name="flower"),
    path("live", live.stream, name="live"),
]
