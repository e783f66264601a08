from __future__ import annotations

from django.urls import path

from jobs.api import audit, batches, files, joblog, kinds, notices, schedules, views

urlpatterns = [
    path("kinds", kinds.Kinds.as_view()),
    path("audit", audit.Audit.as_view()),
    path("jobs", views.Jobs.as_view()),
    path("jobs/bulk", views.JobsInBulk.as_view()),
    path("jobs/<uuid:pk>", views.JobDetail.as_view()),
    path("jobs/<uuid:pk>/files/<str:name>", files.JobFile.as_view()),
    path("jobs/<uuid:pk>/cancel", views.JobVerb.as_view(verb="cancel")),
    path("jobs/<uuid:pk>/retry", views.JobVerb.as_view(verb="requeue")),
    path("jobs/<uuid:pk>/pause", views.JobVerb.as_view(verb="pause")),
    path("jobs/<uuid:pk>/resume", views.JobVerb.as_view(verb="resume")),
    path("jobs/<uuid:pk>/log", joblog.JobLogLines.as_view()),
    path("jobs/<uuid:pk>/notices", notices.JobNotices.as_view()),
    path("jobs/<uuid:pk>/notices/<int:notice>/replay", notices.NoticeReplay.as_view()),
    path("webhooks/test", notices.WebhookTest.as_view()),
    path("batches", batches.Batches.as_view()),
    path("batches/<uuid:pk>", batches.BatchDetail.as_view()),
    path("batches/<uuid:pk>/cancel", batches.BatchCancel.as_view()),
    path("schedules", schedules.Schedules.as_view()),
    path("schedules/preview", schedules.SchedulePreview.as_view()),
    path("schedules/<uuid:pk>", schedules.ScheduleDetail.as_view()),
    path("schedules/<uuid:pk>/fires", schedules.ScheduleFires.as_view()),
    path("schedules/<uuid:pk>/pause", schedules.ScheduleVerb.as_view(verb="pause")),
    path("schedules/<uuid:pk>/resume", schedules.ScheduleVerb.as_view(verb="resume")),
    path("schedules/<uuid:pk>/run", schedules.ScheduleRun.as_view()),
]
