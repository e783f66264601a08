"""What `manage.py doctor` says, as a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from jobs import doctor
from jobs.dashboard.page import page


@page
def show_findings(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/doctor.html", {"section": "doctor", "findings": doctor.examine()})
