"""Haulway's own addresses, and beside them the least that a Django view can do: insert one row."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from project.urls import urlpatterns as haulway
from tests.benchmarks.jobs.app.models import Row


@csrf_exempt
def bare(request: HttpRequest) -> JsonResponse:
    row = Row._default_manager.create(payload=json.loads(request.body)["payload"])
    return JsonResponse({"id": row.pk}, status=202)


urlpatterns = [*haulway, path("bare", bare)]
