"""The downloads API, version 1. Each view translates HTTP to one verb and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpResponseBase
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from downloads import bandwidth, files, verbs
from downloads.models import Download
from downloads.shapes import (
    DownloadChange,
    DownloadList,
    DownloadRefresh,
    DownloadSubmission,
    FleetLimits,
    write_download,
)
from downloads.submitting import submit, submit_all
from jobs.access.roles import Act
from jobs.api.access import acting, owner_of, reachable
from jobs.api.bodies import BulkJSONParser
from jobs.api.pages import NewestDownloadFirst, filtered, page
from jobs.api.shapes import read, validated, write_attempts
from jobs.api.throttle import make_room


def _with_jobs(request: Request, act: Act = Act.SEE) -> Any:
    """The downloads that this caller may do that to."""
    return reachable(request, Download.objects.select_related("job"), act, prefix="job__")


class Downloads(APIView):
    """Submit a download, or a list of them; list downloads, newest first."""

    acts = {"POST": Act.SUBMIT}
    parser_classes = (BulkJSONParser,)

    def get(self, request: Request) -> Response:
        rows = filtered(_with_jobs(request), request, prefix="job__")
        return page(NewestDownloadFirst(), rows, request, write_download)

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
    """One download, with all its attempts."""

    acts = {"PATCH": Act.CHANGE, "DELETE": Act.CHANGE}

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        download = get_object_or_404(_with_jobs(request), pk=pk)
        return Response(write_download(download) | {"attempts": write_attempts(download.job)})

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        get_object_or_404(_with_jobs(request, Act.CHANGE), pk=pk)
        given = read(DownloadChange, request)
        with acting(request, "change", pk, **given.model_dump(exclude_unset=True)):
            verbs.change(pk, given)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))

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

    def post(self, request: Request, pk: uuid.UUID) -> Response:
        get_object_or_404(_with_jobs(request, Act.CHANGE), pk=pk)
        url = read(DownloadRefresh, request).url
        with acting(request, "refresh", pk):  # without the link: it may carry a signature that opens it
            verbs.refresh(pk, url)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))


class DownloadLimits(APIView):
    """The limits of all downloads together."""

    acts = {"PUT": Act.OPERATE}

    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"rate_limit": bandwidth.fleet_limit()})

    def put(self, request: Request) -> Response:
        limit = read(FleetLimits, request).rate_limit
        with acting(request, "set limits", "downloads", rate_limit=limit):
            bandwidth.set_fleet_limit(limit)
        return self.get(request)


class DownloadFile(APIView):
    """The finished file."""

    def get(self, request: Request, pk: uuid.UUID) -> HttpResponseBase:
        return files.send(request._request, get_object_or_404(_with_jobs(request), pk=pk))  # noqa: SLF001 - DRF's own name

    head = get


class DownloadVerb(APIView):
    """A verb upon one download: 200 and the download, 404, or 409 where its state does not allow it."""

    acts = {"POST": Act.CHANGE}
    verb: Callable[[uuid.UUID], None] | None = None

    def post(self, request: Request, pk: uuid.UUID) -> Response:
        assert self.verb is not None
        reached = _with_jobs(request, Act.CHANGE)
        with acting(request, self.verb.__name__, pk):
            # The job's row first, as the worker locks it: two that lock in different orders wait for each other.
            get_object_or_404(reached.select_for_update(of=("job",), no_key=True), pk=pk)
            self.verb(pk)
        return Response(write_download(_with_jobs(request, Act.CHANGE).get(pk=pk)))
