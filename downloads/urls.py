from __future__ import annotations

from django.urls import path

from downloads import api, dashboard, legacy, verbs
from jobs.api.waiting import waits

api_urls = [
    path("downloads", api.Downloads.as_view()),
    path("downloads/limits", api.DownloadLimits.as_view()),
    path("downloads/<uuid:pk>", waits(api.DownloadDetail.as_view())),
    path("downloads/<uuid:pk>/file", api.DownloadFile.as_view()),
    path("downloads/<uuid:pk>/refresh", api.DownloadFreshLink.as_view()),
    path("downloads/<uuid:pk>/cancel", api.DownloadVerb.as_view(verb=verbs.cancel)),
    path("downloads/<uuid:pk>/retry", api.DownloadVerb.as_view(verb=verbs.retry)),
    path("downloads/<uuid:pk>/pause", api.DownloadVerb.as_view(verb=verbs.pause)),
    path("downloads/<uuid:pk>/resume", api.DownloadVerb.as_view(verb=verbs.resume)),
]
legacy_urls = [
    path("downloads", legacy.LegacyDownloads.as_view()),
    path("downloads/<uuid:pk>/status", legacy.LegacyDownloadStatus.as_view()),
]
page_urls = [
    path("downloads", dashboard.downloads, name="downloads"),
    path("downloads/add", dashboard.add, name="add-downloads"),
    path("downloads/limit", dashboard.limit, name="limit-downloads"),
    path("downloads/<uuid:pk>/<slug:action>", dashboard.act, name="act-on-download"),
]
