"""Dead letters in groups, and verbs upon all jobs that a search finds."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, NotRequired

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs import deadletters, operations, search
from jobs.access.roles import Act
from jobs.api.access import acting, name_of, reachable
from jobs.api.openapi import door
from jobs.api.pages import PAGE, NewestFirst, Q, page
from jobs.api.problems import WrongState
from jobs.api.shapes import Whole, read
from jobs.api.shown import PriorityName
from jobs.models import Job, Operation, Priority, Progress


class OperationOrder(BaseModel):
    """What shall be done, and to which jobs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verb: str = Field(json_schema_extra={"enum": [*operations.VERBS]})
    q: str = Field(
        description="A search, as of GET /api/v1/jobs?q=. What it finds at this moment is what is meant.",
        json_schema_extra={"minLength": 1, "maxLength": search.MAX_LENGTH},
    )
    dry_run: bool = Field(default=False, description="Count and change nothing.")
    expected: Whole | None = Field(
        default=None, ge=0, description="What the dry run counted; another number now is a 409."
    )
    priority: str | None = Field(
        default=None, description="For `prioritise`.", json_schema_extra={"enum": [*Priority.labels, None]}
    )


class OperationShown(TypedDict):
    """An operation, and how far it is."""

    id: uuid.UUID
    verb: str
    q: str
    priority: NotRequired[PriorityName]
    actor: str
    progress: Annotated[str, Field(json_schema_extra={"enum": [*Progress]})]
    total: Annotated[int, Field(description="Jobs that were meant when it began.")]
    done: Annotated[int, Field(description="Those of them that it has come to.")]
    reached: Annotated[int, Field(description="Those of them that it has changed.")]
    created_at: datetime
    finished_at: datetime | None


class OperationPage(TypedDict):
    next: str | None
    previous: str | None
    results: list[OperationShown]


class PreviewShown(TypedDict):
    """What an operation would come to."""

    found: int
    reachable: Annotated[int, Field(description="Those in a state that the verb takes.")]
    examples: list[uuid.UUID]


class GroupShown(TypedDict):
    """Dead letters of one cause."""

    kind: str
    fingerprint: str
    error_class: str
    place: str
    count: int
    first_seen: datetime
    last_seen: datetime
    example: Annotated[uuid.UUID | None, Field(description="The latest.")]
    error: Annotated[str, Field(description="Of the latest.")]
    q: Annotated[str, Field(description="The search that finds exactly these.")]


class GroupList(TypedDict):
    groups: list[GroupShown]


class DeadLetters(APIView):
    """Dead letters by kind, class of error and place, the largest group first; `?q=` narrows them down."""

    @door(
        "Dead letters in groups of one cause",
        name="dead_letter_groups",
        tag="operations",
        gives={200: GroupList},
        parameters=[Q],
    )
    def get(self, request: Request) -> Response:
        try:
            found = deadletters.groups(request.query_params.get("q", ""), reachable(request, Job.objects.all()))
        except search.SearchError as error:
            raise ValidationError({"q": str(error)}) from error
        return Response({"groups": [_write_group(group) for group in found]})


class Operations(APIView):
    """Order an operation, or see what it would come to; list them, newest first."""

    acts = {"GET": Act.OPERATE}

    @door(
        "Operations, newest first",
        name="list_operations",
        tag="operations",
        gives={200: OperationPage},
        parameters=PAGE,
        refuses=(404,),
    )
    def get(self, request: Request) -> Response:
        return page(NewestFirst(), Operation.objects.all(), request, write_operation)

    @door(
        "Do something to all jobs that a search finds",
        name="operate",
        tag="operations",
        takes=OperationOrder,
        gives={200: PreviewShown, 202: OperationShown},
        example={"verb": "cancel", "q": "kind:echo", "dry_run": True},
        refuses=(404, 409),
    )
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
            raise ValidationError({error.field: str(error)}) from error
        headers = {"Location": f"/api/v1/operations/{begun.id}"}
        return Response(write_operation(begun), status=status.HTTP_202_ACCEPTED, headers=headers)


class OperationDetail(APIView):
    """How far an operation is."""

    acts = {"GET": Act.OPERATE}

    @door("An operation", name="operation", tag="operations", gives={200: OperationShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - DRF's signature
        return Response(write_operation(get_object_or_404(Operation, pk=pk)))


class OperationCancel(APIView):
    """Leave what is not done yet as it is."""

    @door(
        "Stop an operation",
        name="cancel_operation",
        tag="operations",
        gives={200: OperationShown},
        refuses=(404, 409, 415),
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        found = Operation.objects.filter(pk=pk).first()
        if found is None:
            raise Http404
        with acting(request, "cancel operation", pk):
            if not operations.cancel(found):
                raise WrongState("The operation has ended already.")
        found.refresh_from_db()
        return Response(write_operation(found))


def write_operation(operation: Operation) -> OperationShown:
    shown: OperationShown = {
        "id": operation.id,
        "verb": operation.verb,
        "q": operation.query,
        "actor": operation.actor,
        "progress": operation.progress,
        "total": operation.total,
        "done": operation.done,
        "reached": operation.reached,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
    }
    if "priority" in operation.arguments:
        shown["priority"] = operation.arguments["priority"]
    return shown


def _write_preview(preview: operations.Preview) -> PreviewShown:
    return {"found": preview.found, "reachable": preview.reachable, "examples": preview.examples}


def _write_group(group: deadletters.Group) -> GroupShown:
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
