"""The downloads API, version 1. Each view translates HTTP to one verb and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from downloads import bandwidth, files, verbs
from downloads.models import Download
from downloads.shapes import (
    MOST_AT_ONCE,
    DownloadChange,
    DownloadList,
    DownloadRefresh,
    DownloadSubmission,
    FleetLimits,
    write_download,
)
from downloads.shown import DownloadPage, DownloadShown, DownloadWhole
from downloads.submitting import submit, submit_all
from jobs.access.roles import Act
from jobs.api import waiting
from jobs.api.access import acting, owner_of, reachable
from jobs.api.bodies import BulkJSONParser
from jobs.api.etags import answered, etag_of, with_versions
from jobs.api.idempotency import once
from jobs.api.openapi import FILE, WAIT, door, shape
from jobs.api.pages import FILTERS, filtered, page_found
from jobs.api.shapes import read, validated, write_attempts
from jobs.api.shown import BulkAnswer
from jobs.api.throttle import make_room

_TABLES = ("downloads_download", "jobs_job")


# One download and its answer, or a list, bare or under its name, and the answers to all.
SUBMITTED = {
    "oneOf": [
        shape(DownloadSubmission, "validation"),
        shape(DownloadList, "validation"),
        {"type": "array", "items": {}, "minItems": 1, "maxItems": MOST_AT_ONCE},
    ]
}
ANSWERED = {"oneOf": [shape(DownloadShown, "serialization"), shape(BulkAnswer, "serialization")]}


def _with_jobs(request: Request, act: Act = Act.SEE) -> Any:
    """The downloads that this caller may do that to."""
    return reachable(request, Download.objects.select_related("job"), act, prefix="job__")


class Downloads(APIView):
    """Submit a download, or a list of them; list downloads, newest first."""

    acts = {"POST": Act.SUBMIT}
    parser_classes = (BulkJSONParser,)

    @door(
        "Downloads, newest first",
        name="list_downloads",
        tag="downloads",
        gives={200: DownloadPage},
        parameters=FILTERS,
        tagged=True,
        refuses=(404,),
    )
    def get(self, request: Request) -> Response:
        rows = Download.objects.select_related("job")
        return page_found(filtered(rows, request, prefix="job__", kind="download"), request, write_download, *_TABLES)

    @door(
        "Submit a download, or a list of them",
        name="submit_download",
        tag="downloads",
        takes=SUBMITTED,
        gives={200: DownloadShown, 202: ANSWERED, 400: BulkAnswer},
        example={"url": "https://example.com/file.zip", "output": "file.zip", "threads": 4},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        if isinstance(request.data, list):
            return _answer_for_each(validated(DownloadList, {"downloads": request.data}).downloads, request)
        if isinstance(request.data, dict) and "downloads" in request.data:
            return _answer_for_each(read(DownloadList, request).downloads, request)
        job_id, new = submit(read(DownloadSubmission, request), owner=owner_of(request))
        headers = {"Location": f"/api/v1/downloads/{job_id}"}
        body = write_download(_with_jobs(request, Act.SUBMIT).get(pk=job_id))
        return Response(body, status=status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK, headers=headers)


def _answer_for_each(items: list[Any], request: Request) -> Response:
    make_room(request, len(items))
    results = submit_all(items, owner=owner_of(request))
    refused = sum("problem" in one for one in results)
    body = {"accepted": len(results) - refused, "refused": refused, "results": results}
    return Response(body, status=status.HTTP_202_ACCEPTED if body["accepted"] else status.HTTP_400_BAD_REQUEST)


class DownloadDetail(APIView):
    """One download, with all its attempts. `?wait=30`: as soon as it has finished."""

    acts = {"PATCH": Act.CHANGE, "DELETE": Act.CHANGE}

    @door(
        "A download with the attempts of its job",
        name="download",
        tag="downloads",
        gives={200: DownloadWhole},
        parameters=[WAIT],
        tagged=True,
        refuses=(404,),
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        waiting.seconds(request.query_params)
        download = get_object_or_404(with_versions(_with_jobs(request), *_TABLES), pk=pk)
        return answered(
            request,
            etag_of([download.version]),
            lambda: DownloadWhole(**write_download(download), attempts=write_attempts(download.job)),
        )

    @door(
        "Change its bandwidth or priority while it runs",
        name="change_download",
        tag="downloads",
        takes=DownloadChange,
        gives={200: DownloadShown},
        example={"rate_limit": 1_000_000, "priority": "high"},
        refuses=(404, 409),
    )
    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        get_object_or_404(_with_jobs(request, Act.CHANGE), pk=pk)
        given = read(DownloadChange, request)
        with acting(request, "change", pk, **given.model_dump(exclude_unset=True)):
            verbs.change(pk, given)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))

    @door(
        "Delete a finished download, and its file",
        name="delete_download",
        tag="downloads",
        gives={204: None},
        parameters=[
            OpenApiParameter("keep_file", {"type": "string", "enum": ["0", "1"]}, description="1: the file stays.")
        ],
        refuses=(404, 409),
    )
    def delete(self, request: Request, pk: uuid.UUID) -> Response:
        keep = request.query_params.get("keep_file", "0")
        if keep not in ("0", "1"):
            raise ValidationError({"keep_file": "must be 0 or 1"})
        get_object_or_404(_with_jobs(request, Act.CHANGE), pk=pk)
        with acting(request, "delete", pk, keep_file=keep == "1"):
            verbs.delete(pk, keep_file=keep == "1")
        return Response(status=status.HTTP_204_NO_CONTENT)


class DownloadFreshLink(APIView):
    """Go on from another URL of the same file."""

    acts = {"POST": Act.CHANGE}

    @door(
        "Go on from a fresh link to the same file",
        name="refresh_download",
        tag="downloads",
        takes=DownloadRefresh,
        gives={200: DownloadShown},
        example={"url": "https://example.com/file.zip?token=fresh"},
        refuses=(404, 409),
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        get_object_or_404(_with_jobs(request, Act.CHANGE), pk=pk)
        url = read(DownloadRefresh, request).url
        with acting(request, "refresh", pk):  # without the link: it may carry a signature that opens it
            verbs.refresh(pk, url)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))


class DownloadLimits(APIView):
    """The limits of all downloads together."""

    acts = {"PUT": Act.OPERATE}

    @door("The limits of all downloads together", name="limits", tag="downloads", gives={200: FleetLimits})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"rate_limit": bandwidth.fleet_limit()})

    @door(
        "Set the limits of all downloads together",
        name="set_limits",
        tag="downloads",
        takes=FleetLimits,
        gives={200: FleetLimits},
        example={"rate_limit": 10_000_000},
    )
    def put(self, request: Request) -> Response:
        limit = read(FleetLimits, request).rate_limit
        with acting(request, "set limits", "downloads", rate_limit=limit):
            bandwidth.set_fleet_limit(limit)
        return self.get(request)


class DownloadFile(APIView):
    """The finished file."""

    @door(
        "The finished file, whole or a range of it",
        name="download_file",
        tag="downloads",
        gives=FILE,
        refuses=(404, 409),
    )
    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        return files.send(request._request, get_object_or_404(_with_jobs(request), pk=pk))  # noqa: SLF001 - DRF's own name

    head = get


class DownloadVerb(APIView):
    """A verb upon one download: 200 and the download, 404, or 409 where its state does not allow it."""

    acts = {"POST": Act.CHANGE}
    verb: Callable[[uuid.UUID], None] | None = None

    @door("{verb} a download", tag="downloads", gives={200: DownloadShown}, refuses=(404, 409, 415))
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        assert self.verb is not None
        reached = _with_jobs(request, Act.CHANGE)
        with acting(request, self.verb.__name__, pk):
            # The job's row first, as the worker locks it: two that lock in different orders wait for each other.
            get_object_or_404(reached.select_for_update(of=("job",), no_key=True), pk=pk)
            self.verb(pk)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))
