"""Dead letters in groups, and verbs upon all jobs that a search finds."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import deadletters, operations, search
from jobs.access.roles import Act
from jobs.api.access import acting, name_of, reachable
from jobs.api.pages import NewestFirst, page
from jobs.api.problems import WrongState
from jobs.api.shapes import read
from jobs.models import Job, Operation


class OperationOrder(BaseModel):
    """What shall be done, and to which jobs."""

    model_config = ConfigDict(extra="forbid")

    verb: str = Field(description=f"One of {', '.join(operations.VERBS)}.")
    q: str = Field(description="A search, as of GET /api/v1/jobs?q=. What it finds at this moment is what is meant.")
    dry_run: bool = Field(default=False, description="Count and change nothing.")
    expected: int | None = Field(default=None, description="What the dry run counted; another number now is a 409.")
    priority: str | None = Field(default=None, description="For `prioritise`: low, medium, high or critical.")


class DeadLetters(APIView):
    """Dead letters by kind, class of error and place, the largest group first; `?q=` narrows them down."""

    def get(self, request: Request) -> Response:
        try:
            found = deadletters.groups(request.query_params.get("q", ""), reachable(request, Job.objects.all()))
        except search.SearchError as error:
            raise ValidationError({"q": str(error)}) from error
        return Response({"groups": [_write_group(group) for group in found]})


class Operations(APIView):
    """Order an operation, or see what it would come to; list them, newest first."""

    acts = {"GET": Act.OPERATE}

    def get(self, request: Request) -> Response:
        return page(NewestFirst(), Operation.objects.all(), request, write_operation)

    def post(self, request: Request) -> Response:
        order = read(OperationOrder, request)
        try:
            if order.dry_run:
                return Response(_write_preview(operations.preview(order.verb, order.q)))
            with acting(request, order.verb, q=order.q) as detail:
                begun = operations.start(
                    order.verb,
                    order.q,
                    actor=name_of(request),
                    expected=order.expected,
                    arguments={} if order.priority is None else {"priority": order.priority},
                )
                detail["operation"] = str(begun.id)
        except search.SearchError as error:
            raise ValidationError({"q": str(error)}) from error
        except operations.Changed as error:
            raise WrongState(str(error)) from error
        except operations.Refused as error:
            raise ValidationError(str(error)) from error
        headers = {"Location": f"/api/v1/operations/{begun.id}"}
        return Response(write_operation(begun), status=status.HTTP_202_ACCEPTED, headers=headers)


class OperationDetail(APIView):
    """How far an operation is."""

    acts = {"GET": Act.OPERATE}

    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - DRF's signature
        return Response(write_operation(get_object_or_404(Operation, pk=pk)))


class OperationCancel(APIView):
    """Leave what is not done yet as it is."""

    def post(self, request: Request, pk: uuid.UUID) -> Response:
        found = Operation.objects.filter(pk=pk).first()
        if found is None:
            raise Http404
        with acting(request, "cancel operation", pk):
            if not operations.cancel(found):
                raise WrongState("The operation has ended already.")
        found.refresh_from_db()
        return Response(write_operation(found))


def write_operation(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "verb": operation.verb,
        "q": operation.query,
        **operation.arguments,
        "actor": operation.actor,
        "progress": operation.progress,
        "total": operation.total,
        "done": operation.done,
        "reached": operation.reached,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
    }


def _write_preview(preview: operations.Preview) -> dict[str, Any]:
    return {"found": preview.found, "reachable": preview.reachable, "examples": preview.examples}


def _write_group(group: deadletters.Group) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "fingerprint": group.fingerprint,
        "error_class": group.error_class,
        "place": group.place,
        "count": group.count,
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "example": group.example,
        "error": group.error,
        "q": group.query,
    }
