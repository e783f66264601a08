"""Batches over HTTP: jobs that are submitted together, all or none, and followed as one."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import batches
from jobs.access.roles import Act
from jobs.api.access import acting, batches_of, check_parents, owner_of
from jobs.api.bodies import BulkJSONParser
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.pages import PAGE, NewestFirst, page
from jobs.api.shapes import MOST_AT_ONCE, JobSubmission, Line, read
from jobs.api.shown import BatchPage, BatchShown
from jobs.api.throttle import make_room
from jobs.models import Batch, Needs
from jobs.submission import MAX_PARENTS


class BatchJob(JobSubmission):
    """A job of a batch. In `depends_on` it may name earlier ones by their `ref`, beside ids of jobs that exist."""

    ref: str | None = Field(default=None, min_length=1, max_length=100)
    depends_on: list[str] = Field(
        default_factory=list, max_length=MAX_PARENTS, description="Ids of jobs, and refs of earlier ones of the batch."
    )

    def item(self, owner: int | None) -> batches.Item:
        return batches.Item(self.kind, self.payload, self.options() | {"owner": owner}, self.ref)


class BatchBody(BaseModel):
    """A batch: all of its jobs are accepted, or none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Line = Field(default="", max_length=200)
    jobs: list[BatchJob] = Field(min_length=1, max_length=MOST_AT_ONCE)
    in_order: bool = Field(default=False, description="Each job waits for the one before it: a chain.")
    callback: JobSubmission | None = Field(default=None, description="The job that runs when all have ended.")
    callback_needs: Annotated[Needs, Field(strict=False)] = Field(
        default=Needs.END, description="success: it is cancelled unless all have succeeded."
    )


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


def _as_id(text: object) -> uuid.UUID | None:
    """None for the ref of another job of the batch."""
    try:
        return uuid.UUID(str(text))
    except ValueError:
        return None


class Batches(APIView):
    """Submit a batch; list them, newest first."""

    acts = {"POST": Act.SUBMIT}
    parser_classes = (BulkJSONParser,)

    @door(
        "Batches, newest first",
        name="list_batches",
        tag="batches",
        gives={200: BatchPage},
        parameters=PAGE,
        refuses=(404,),
    )
    def get(self, request: Request) -> Response:
        return page(NewestFirst(), batches_of(request), request, write_batch)

    @door(
        "Submit jobs that belong together",
        name="submit_batch",
        tag="batches",
        takes=BatchBody,
        gives={202: BatchShown},
        example={"name": "nightly", "jobs": [{"kind": "echo"}, {"kind": "echo"}]},
        keyed=True,
        refuses=(404, 409),
    )
    @once
    def post(self, request: Request) -> Response:
        given = read(BatchBody, request)
        last, owner = given.callback, owner_of(request)
        make_room(request, len(given.jobs) + bool(last))
        for job in given.jobs:
            check_parents(request, filter(None, map(_as_id, job.depends_on)))
        batch = batches.submit(
            [job.item(owner) for job in given.jobs],
            name=given.name,
            in_order=given.in_order,
            callback=batches.Item(last.kind, last.payload, last.options() | {"owner": owner}) if last else None,
            callback_needs=given.callback_needs,
        )
        headers = {"Location": f"/api/v1/batches/{batch.pk}"}
        return Response(write_batch(batch), status=status.HTTP_202_ACCEPTED, headers=headers)


class BatchDetail(APIView):
    """One batch, with the number of its jobs in each state."""

    @door("A batch", name="batch", tag="batches", gives={200: BatchShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(write_batch(get_object_or_404(batches_of(request), pk=pk)))


class BatchCancel(APIView):
    """Cancel all of a batch that has not ended, its callback too."""

    acts = {"POST": Act.CHANGE}

    @door(
        "Cancel all of a batch that has not ended",
        name="cancel_batch",
        tag="batches",
        gives={200: BatchShown},
        refuses=(404, 409, 415),
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        batch = get_object_or_404(batches_of(request, Act.CHANGE), pk=pk)
        with acting(request, "cancel batch", pk) as detail:
            detail["reached"] = reached = batches.cancel(batch)
        return Response(write_batch(batch) | {"cancelled": reached})
