"""The jobs API, version 1. Each view translates HTTP to one verb of the lifecycle and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import deadletters, files, lifecycle
from jobs.access.roles import Act
from jobs.api import waiting
from jobs.api.access import acting, caller_of, check_parents, owner_of, reachable
from jobs.api.bodies import BulkJSONParser
from jobs.api.etags import answered, etag_of, with_versions
from jobs.api.files import write_files
from jobs.api.idempotency import once
from jobs.api.openapi import WAIT, door
from jobs.api.pages import FILTERS, filtered, page_found
from jobs.api.problems import WrongState, problem
from jobs.api.shapes import (
    BulkSubmission,
    JobSubmission,
    RetryOrder,
    read,
    validated,
    write_attempts,
    write_job,
    write_waits,
)
from jobs.api.shown import BulkAnswer, JobPage, JobShown, JobWhole
from jobs.api.throttle import make_room
from jobs.models import Job
from jobs.submission import InvalidSubmission, Submission, checked


class Jobs(APIView):
    """Submit a job; list jobs, newest first."""

    acts = {"POST": Act.SUBMIT}

    @door(
        "Jobs, newest first",
        name="list_jobs",
        tag="jobs",
        gives={200: JobPage},
        parameters=FILTERS,
        tagged=True,
        refuses=(404,),
    )
    def get(self, request: Request) -> Response:
        return page_found(filtered(Job.objects.all(), request), request, write_job, "jobs_job")

    @door(
        "Submit a job",
        name="submit_job",
        tag="jobs",
        takes=JobSubmission,
        gives={200: JobShown, 202: JobShown},
        example={"kind": "echo", "payload": {"hello": "world"}, "priority": "high"},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        given = read(JobSubmission, request)
        one = checked(given.kind, given.payload, owner=owner_of(request), **given.options())
        check_parents(request, one.depends_on)
        job, new = lifecycle.place(one)
        headers = {"Location": f"/api/v1/jobs/{job.id}"}
        return Response(write_job(job), status=status.HTTP_202_ACCEPTED if new else status.HTTP_200_OK, headers=headers)


class JobsInBulk(APIView):
    """Submit up to MOST_AT_ONCE jobs: each accepted with its id, or refused with its problem document."""

    acts = {"POST": Act.SUBMIT}
    parser_classes = (BulkJSONParser,)

    @door(
        "Submit many jobs at once",
        name="submit_jobs",
        tag="jobs",
        takes=BulkSubmission,
        gives={202: BulkAnswer, 400: BulkAnswer},
        example={"jobs": [{"kind": "echo"}, {"kind": "echo", "payload": {"n": 2}}], "all_or_nothing": True},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        given = read(BulkSubmission, request)
        accepted: dict[int, Submission] = {}
        owner = owner_of(request)
        results: list[dict[str, Any]] = []
        for index, item in enumerate(given.jobs):
            try:
                one = validated(JobSubmission, item)
                job = checked(one.kind, one.payload, owner=owner, **one.options())
                check_parents(request, job.depends_on)
                accepted[index] = job
                results.append({"index": index})
            except InvalidSubmission as error:
                results.append({"index": index, "problem": problem("invalid-request", errors=error.faults)})
        if len(accepted) < len(results) and given.all_or_nothing:
            accepted.clear()
        make_room(request, len(accepted))
        _place(accepted, results, all_or_nothing=given.all_or_nothing)
        body = {"accepted": len(accepted), "refused": len(results) - len(accepted), "results": results}
        return Response(body, status=status.HTTP_202_ACCEPTED if accepted else status.HTTP_400_BAD_REQUEST)


def _place(accepted: dict[int, Submission], results: list[dict[str, Any]], *, all_or_nothing: bool) -> None:
    """Write the accepted ones. Those whose unique key refuses them go over to the refused."""
    while accepted:
        try:
            placed = lifecycle.place_many(list(accepted.values()))
        except lifecycle.KeyTaken as error:
            for place, index in enumerate(list(accepted)):
                if place in error.taken:
                    del accepted[index]
                    results[index]["problem"] = problem("key-taken", f"It is job {error.taken[place]}.")
            if all_or_nothing:
                accepted.clear()
        else:
            for index, (job_id, new) in zip(accepted, placed, strict=True):
                results[index] |= {"id": job_id, "new": new}
            return


class JobDetail(APIView):
    """One job, with all its attempts and result files. `?wait=30`: as soon as it has finished."""

    @door(
        "A job with its attempts and result files",
        name="job",
        tag="jobs",
        gives={200: JobWhole},
        parameters=[WAIT],
        tagged=True,
        refuses=(404,),
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        waiting.seconds(request.query_params)
        job: Any = get_object_or_404(with_versions(reachable(request, Job.objects.all()), "jobs_job"), pk=pk)
        waits = write_waits(job)
        return answered(
            request,
            etag_of([job.version, files.version(job.pk), waits]),
            lambda: JobWhole(**write_job(job), attempts=write_attempts(job), files=write_files(job), depends_on=waits),
        )


class JobVerb(APIView):
    """A verb upon one job: 200 and the job, 404, or 409 where its state does not allow it."""

    acts = {"POST": Act.CHANGE}
    verb: str = ""

    @door("{verb} a job", tag="jobs", gives={200: JobShown}, refuses=(404, 409, 415))
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        get_object_or_404(reachable(request, Job.objects.only("id"), Act.CHANGE), pk=pk)
        with acting(request, self.verb, pk):
            apply_verb(self.verb, pk)
        return Response(write_job(Job.objects.get(pk=pk)))


class JobRetry(JobVerb):
    """Run a dead letter or cancelled job again; with a `payload` in the body, on that one instead of its own."""

    @door("{verb} a job", tag="jobs", gives={200: JobShown}, refuses=(404, 409, 415))
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        if not request.data:
            return super().post(request, pk)
        given = read(RetryOrder, request)
        job = get_object_or_404(reachable(request, Job.objects.all(), Act.CHANGE), pk=pk)
        caller = caller_of(request)
        if not request.user.has_perm("jobs.edit_payload") and not (caller and caller.may(Act.MANAGE)):
            raise PermissionDenied
        with acting(request, "requeue on another payload", pk):
            if not deadletters.requeue_edited(job, given.payload):
                raise WrongState(lifecycle.not_reached("requeue", pk))
        return Response(write_job(Job.objects.get(pk=pk)))


# What the API calls a verb, and the lifecycle's name of it.
VERBS: dict[str, Callable[[Collection[uuid.UUID]], Any]] = {
    "cancel": lifecycle.cancel,
    "requeue": lifecycle.requeue,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
}


def apply_verb(verb: str, job_id: uuid.UUID) -> None:
    """Raises Http404 or WrongState where the verb does not reach the job."""
    if VERBS[verb]([job_id]):
        return
    if not Job.objects.filter(pk=job_id).exists():
        raise Http404
    raise WrongState(lifecycle.not_reached(verb, job_id))
