"""Telling others of the end of a job: webhooks and mail, as durable jobs of our own.

Who shall be told is said at submission, and checked there by the kinds that will send it. The notices of an end are
submitted by jobs/telling.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from jobs import kinds
from jobs.models import Job
from jobs.sealed import Secret

MOST = 5  # notices of one end of a job
WEBHOOK, MAIL = "call_webhook", "send_email"
_MOST_TOLD = 64 * 1024  # characters of result and metadata; where there is more, the message goes without them


class NoticeWish(BaseModel):
    """One to be told: by webhook, at `url`, or by mail, at `email`."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(default=None, max_length=2000, description="Gets a signed POST, as call_webhook sends it.")
    secrets: list[Secret] = Field(default_factory=list, description="Sign with these, not with WEBHOOK_SECRETS.")
    email: str | None = Field(default=None, max_length=320)
    on: list[Literal["completed", "failed", "cancelled"]] = Field(
        default=["completed", "failed", "cancelled"], min_length=1, description="Which ends to tell of."
    )

    @model_validator(mode="after")
    def can_be_sent(self) -> NoticeWish:
        if (self.url is None) == (self.email is None):
            raise ValueError("say either url or email")
        try:
            kinds.get(self.kind).payload.model_validate(self.message({"kind": "echo", "state": "completed"}))
        except ValidationError as error:  # without what was given, which may be secret
            raise ValueError("; ".join(found["msg"] for found in error.errors(include_input=False))) from None
        return self

    @property
    def kind(self) -> str:
        return MAIL if self.url is None else WEBHOOK

    @property
    def to(self) -> str:
        return self.url or self.email or ""

    def message(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The payload of the job that sends it."""
        if self.url is None:
            return {
                "recipient": self.email,
                "subject": f"Job {about['kind']} {about['state']}",
                "body": _as_mail(about),
            }
        event = f"job.{about['state']}"
        secrets = [secret.get_secret_value() for secret in self.secrets]
        return {"url": self.url, "event": event, "body": {"type": event, "data": dict(about)}, "secrets": secrets}


_WISHES = TypeAdapter(Annotated[list[NoticeWish], Field(max_length=MOST)])


def sealed(wishes: Any) -> str | None:
    """What was wished as it is stored, secrets sealed. Raises pydantic's ValidationError."""
    found = _WISHES.validate_python(wishes)
    return _WISHES.dump_json(found, exclude_none=True).decode() if found else None


def wishes_of(job: Job) -> list[NoticeWish]:
    """Raises ValidationError where what is stored can be opened no more."""
    return _WISHES.validate_python(job.notify or [])


def about(job: Job, state: str) -> dict[str, Any]:
    """What is said of a job that has ended like this. Its payload is not: it may be anybody's secret."""
    fits = len(json.dumps([job.result, job.metadata])) <= _MOST_TOLD
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": state,
        "attempt": job.attempt,
        "reason": job.reason,
        "error": job.error,
        "result": job.result if fits else None,
        "metadata": job.metadata if fits else {},
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at and job.finished_at.isoformat(),
    }


def _as_mail(about: Mapping[str, Any]) -> str:
    lines = [
        f"{name}: {about[name]}"
        for name in ("id", "kind", "state", "reason", "error", "finished_at")
        if about.get(name)
    ]
    return "\n".join(lines)
