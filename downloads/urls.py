from __future__ import annotations

from django.urls import path

from downloads import api

api_urls = [
    path("downloads", api.Downloads.as_view()),
    path("downloads/<uuid:pk>", api.DownloadDetail.as_view()),
    path("downloads/<uuid:pk>/cancel", api.DownloadVerb.as_view(verb="cancel")),
    path("downloads/<uuid:pk>/retry", api.DownloadVerb.as_view(verb="requeue")),
    path("downloads/<uuid:pk>/pause", api.DownloadVerb.as_view(verb="pause")),
    path("downloads/<uuid:pk>/resume", api.DownloadVerb.as_view(verb="resume")),
]
legacy_urls = [
    path("downloads", api.LegacyDownloads.as_view()),
    path("downloads/<uuid:pk>/status", api.LegacyDownloadStatus.as_view()),
]
