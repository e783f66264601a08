"""The result files of jobs over HTTP."""

from __future__ import annotations

import mimetypes
import os
import uuid
from typing import Any
from urllib.parse import quote

from django.http import Http404, HttpResponseBase
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import files
from jobs.api.access import reachable
from jobs.api.sending import send
from jobs.models import Job


def write_files(job: Job) -> list[dict[str, Any]]:
    """The result files of a job, with the paths that they are served at."""
    return [
        {"name": file.name, "bytes": file.bytes, "path": f"/api/v1/jobs/{job.pk}/files/{quote(file.name)}"}
        for file in files.listing(job.pk)
    ]


class JobFile(APIView):
    """One result file, whole or a range of it."""

    def get(self, request: Request, pk: uuid.UUID, name: str) -> HttpResponseBase:
        get_object_or_404(reachable(request, Job.objects.only("id")), pk=pk)
        try:
            file = files.opened(pk, name)
        except OSError as error:
            raise Http404 from error
        found = os.fstat(file.fileno())
        media_type = mimetypes.guess_type(name)[0] or ""
        etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
        return send(request._request, file, etag=etag, name=name, media_type=media_type)  # noqa: SLF001 - Django's own

    head = get
