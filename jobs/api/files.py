"""The result files of jobs over HTTP."""

from __future__ import annotations

import mimetypes
import os
import uuid
from urllib.parse import quote

from django.http import Http404, HttpResponseBase
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import files
from jobs.api.access import reachable
from jobs.api.openapi import FILE, door
from jobs.api.problems import Problem
from jobs.api.sending import send
from jobs.api.shown import FileShown
from jobs.models import Job


def write_files(job: Job) -> list[FileShown]:
    """The result files of a job, with the paths that they are served at."""
    return [
        {"name": file.name, "bytes": file.bytes, "path": f"/api/v1/jobs/{job.pk}/files/{quote(file.name)}"}
        for file in files.listing(job.pk)
    ]


class ResultExpired(Problem):
    """The files of the job were kept as long as they were to be."""

    slug = "result-expired"


class JobFile(APIView):
    """One result file, whole or a range of it."""

    @door(
        "A result file, whole or a range of it",
        name="job_file",
        tag="jobs",
        gives=FILE,
        refuses=(404, 410),
    )
    def get(self, request: Request, pk: uuid.UUID, name: str) -> HttpResponseBase:
        job: Job = get_object_or_404(reachable(request, Job.objects.only("id", "result_expired_at")), pk=pk)
        try:
            file = files.opened(pk, name)
        except OSError as error:
            if job.result_expired_at is not None:
                raise ResultExpired(f"They were deleted at {job.result_expired_at.isoformat()}.") from error
            raise Http404 from error
        found = os.fstat(file.fileno())
        media_type = mimetypes.guess_type(name)[0] or ""
        etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
        return send(request._request, file, etag=etag, name=name, media_type=media_type)  # noqa: SLF001 - Django's own

    head = get
