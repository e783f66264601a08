"""The jobs API, version 1. Each view translates HTTP to one verb of the lifecycle and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any

from django.http import Http404
from django.urls import reverse
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import lifecycle
from jobs.api.pages import NewestFirst, filtered
from jobs.api.problems import WrongState
from jobs.api.serializers import JobDetailSerializer, JobSerializer, SubmissionSerializer
from jobs.models import Job


class Jobs(generics.ListAPIView[Job]):
    """Submit a job; list jobs, newest first."""

    serializer_class = JobSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return filtered(Job.objects.all(), self.request)

    def post(self, request: Request) -> Response:
        given = SubmissionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        job = lifecycle.submit(**given.validated_data)
        headers = {"Location": reverse("job", args=[job.id])}
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)


class JobDetail(generics.RetrieveAPIView[Job]):
    """One job, with all its attempts."""

    queryset = Job.objects.all()
    serializer_class = JobDetailSerializer


class JobVerb(APIView):
    """A verb upon one job: 200 and the job, 404, or 409 where its state does not allow it."""

    verb: str = ""

    def post(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - the body says nothing here
        apply_verb(self.verb, pk)
        return Response(JobSerializer(Job.objects.get(pk=pk)).data)


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
