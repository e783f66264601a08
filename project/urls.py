"""Every path of the platform."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from downloads.urls import api_urls as download_api
from downloads.urls import legacy_urls as download_legacy
from downloads.urls import page_urls as download_pages
from jobs import metrics
from jobs.api.problems import explain_problem
from jobs.api.urls import urlpatterns as job_api
from jobs.dashboard.urls import urlpatterns as job_pages
from jobs.legacy.urls import urlpatterns as job_legacy
from project import staff

handler400 = "jobs.api.problems.bad_request"
handler403 = "jobs.api.problems.forbidden"
handler404 = "jobs.api.problems.not_found"
handler500 = "jobs.api.problems.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="dashboard:overview")),
    path("dashboard/", include(([*job_pages, *download_pages], "dashboard"))),
    path(
        "login", LoginView.as_view(template_name="dashboard/login.html", redirect_authenticated_user=True), name="login"
    ),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/", staff.site.urls),
    path("api/v1/", include([*job_api, *download_api])),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema")),
    path("problems/<slug:slug>", explain_problem),
    path("metrics", metrics.exposition),
    *job_legacy,
    *download_legacy,
]
