"""Batches over HTTP: jobs that are submitted together, all or none, and followed as one."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import batches
from jobs.api.bodies import BulkJSONParser
from jobs.api.pages import NewestFirst, page
from jobs.api.shapes import MOST_AT_ONCE, JobSubmission, read
from jobs.models import Batch, Needs


class BatchJob(JobSubmission):
    """A job of a batch. In `depends_on` it may name earlier ones by their `ref`, beside ids of jobs that exist."""

    ref: str | None = Field(default=None, min_length=1, max_length=100)

    def item(self) -> batches.Item:
        return batches.Item(self.kind, self.payload, self.options(), self.ref)


class BatchBody(BaseModel):
    """A batch: all of its jobs are accepted, or none."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200)
    jobs: list[BatchJob] = Field(min_length=1, max_length=MOST_AT_ONCE)
    in_order: bool = Field(default=False, description="Each job waits for the one before it: a chain.")
    callback: JobSubmission | None = Field(default=None, description="The job that runs when all have ended.")
    callback_needs: Needs = Field(default=Needs.END, description="success: it is cancelled unless all have succeeded.")


def write_batch(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.pk,
        "name": batch.name,
        "size": batch.size,
        "jobs": batches.counts(batch),
        "callback": batch.callback_id,
        "callback_needs": batch.callback_needs,
        "created_at": batch.created_at,
        "finished_at": batch.finished_at,
    }


class Batches(APIView):
    """Submit a batch; list them, newest first."""

    parser_classes = (BulkJSONParser,)

    def get(self, request: Request) -> Response:
        return page(NewestFirst(), Batch.objects.all(), request, write_batch)

    def post(self, request: Request) -> Response:
        given = read(BatchBody, request)
        last = given.callback
        batch = batches.submit(
            [job.item() for job in given.jobs],
            name=given.name,
            in_order=given.in_order,
            callback=batches.Item(last.kind, last.payload, last.options()) if last else None,
            callback_needs=given.callback_needs,
        )
        headers = {"Location": f"/api/v1/batches/{batch.pk}"}
        return Response(write_batch(batch), status=status.HTTP_202_ACCEPTED, headers=headers)


class BatchDetail(APIView):
    """One batch, with the number of its jobs in each state."""

    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - DRF's signature
        return Response(write_batch(get_object_or_404(Batch, pk=pk)))


class BatchCancel(APIView):
    """Cancel all of a batch that has not ended, its callback too."""

    def post(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - the body says nothing here
        batch = get_object_or_404(Batch, pk=pk)
        reached = batches.cancel(batch)
        return Response(write_batch(batch) | {"cancelled": reached})
