"""Notices over HTTP: what became of them, once more, and a try."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import telling
from jobs.access.roles import Act
from jobs.api.access import acting, owner_of, reachable
from jobs.api.openapi import door
from jobs.api.problems import WrongState
from jobs.api.shapes import pointing, read, write_attempts
from jobs.api.shown import Delivery, NoticeList, NoticeShown
from jobs.models import Job, Notice


class WebhookTry(BaseModel):
    """Where to send a webhook that tells of nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # What they may be is the kind's to say.
    url: str = Field(json_schema_extra={"format": "uri"})
    secrets: list[str] = Field(default_factory=list)


def write_notice(notice: Notice, delivery: Job | None) -> dict[str, Any]:
    """A notice with the log of its delivery; `state` is empty once its job is kept no more."""
    return {
        "id": notice.pk,
        "event": notice.event,
        "to": notice.to,
        "created_at": notice.created_at,
        "delivery": notice.delivery_id,
        "state": delivery.state if delivery else "",
        "error": delivery.error if delivery else "",
        "answer": delivery.result if delivery else None,
        "attempts": write_attempts(delivery) if delivery else [],
    }


class JobNotices(APIView):
    """Who was told of the end of a job, and how that went."""

    @door("Who was told of the end of a job", name="notices", tag="jobs", gives={200: NoticeList}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        notices = list(get_object_or_404(reachable(request, Job.objects.only("id")), pk=pk).notices.order_by("id"))
        deliveries = Job.objects.in_bulk([notice.delivery_id for notice in notices])
        return Response({"notices": [write_notice(one, deliveries.get(one.delivery_id)) for one in notices]})


class NoticeReplay(APIView):
    """Send a notice once more: 202 and the new one."""

    acts = {"POST": Act.CHANGE}

    @door(
        "Send a notice once more", name="replay_notice", tag="jobs", gives={202: NoticeShown}, refuses=(404, 409, 415)
    )
    def post(self, request: Request, pk: uuid.UUID, notice: int) -> Response:
        get_object_or_404(reachable(request, Job.objects.only("id"), Act.CHANGE), pk=pk)
        sent = get_object_or_404(Notice, pk=notice, job_id=pk)
        try:
            with acting(request, "replay notice", pk, notice=notice):
                again = telling.replay(sent)
        except Job.DoesNotExist as error:
            raise WrongState("The first message is kept no more, so it cannot be sent again.") from error
        body = write_notice(again, Job.objects.get(pk=again.delivery_id))
        headers = {"Location": f"/api/v1/jobs/{again.delivery_id}"}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)


class WebhookTest(APIView):
    """Send a webhook of the type `test`: 202, and the job that sends it, once, at its location."""

    acts = {"POST": Act.SUBMIT}

    @door(
        "Send a webhook of the type `test`",
        name="try_webhook",
        tag="jobs",
        takes=WebhookTry,
        gives={202: Delivery},
        example={"url": "https://example.com/hook"},
    )
    def post(self, request: Request) -> Response:
        given = read(WebhookTry, request)
        with pointing({"/payload": ""}):
            job = telling.try_webhook(given.url, given.secrets, owner_of(request))
        headers = {"Location": f"/api/v1/jobs/{job.pk}"}
        return Response({"delivery": job.pk}, status=status.HTTP_202_ACCEPTED, headers=headers)
