"""The kind `call_webhook`: tell another system, signed as Standard Webhooks (standardwebhooks.com) has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from jobs.calling import CallFailed, Headers, Url, call, judge
from jobs.kinds import Backoff, Context, Lane, handler
from jobs.sealed import Secret

_GONE = 410  # how a receiver says that it wants no more


class WebhookCall(BaseModel):
    """One message to one receiver."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    body: JsonValue = Field(default_factory=dict)
    event: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = Field(
        default=None, description="The type of what happened, sent as the header webhook-event."
    )
    headers: Headers = Field(default_factory=dict)
    secrets: list[Secret] = Field(
        default_factory=list, max_length=5, description="Of this receiver, in place of those in WEBHOOK_SECRETS."
    )
    timeout: float = Field(default=30, gt=0, le=600, description="Seconds that the receiver may take to answer.")

    @field_validator("secrets")
    @classmethod
    def can_sign(cls, secrets: list[Secret]) -> list[Secret]:
        for secret in secrets:
            _signer(secret.get_secret_value())
        return secrets


# The pauses that the standard recommends: seconds at first, hours in the end, a day and more in all.
@handler("call_webhook", lane=Lane.IO, max_retries=12, backoff=Backoff(base=15, cap=6 * 3600))
def call_webhook(payload: WebhookCall, ctx: Context) -> dict[str, Any]:
    """Send a signed webhook until its receiver takes it. Every attempt carries the same webhook-id."""
    body = json.dumps(payload.body, ensure_ascii=False, separators=(",", ":"))
    headers = payload.headers | _signed(body, payload, ctx)
    if payload.event:
        headers["webhook-event"] = payload.event
    # A redirect is refused: the message was signed for this receiver.
    answer = call(
        ctx,
        payload.method,
        payload.url,
        headers=headers,
        body=body.encode(),
        timeout=payload.timeout,
        redirects=False,
    )
    judge(answer, fits=lambda status: 200 <= status < 300, permanent=lambda status: status == _GONE)
    return answer.kept()


def _signed(body: str, payload: WebhookCall, ctx: Context) -> dict[str, str]:
    """The headers of the standard. The time is that of this attempt: receivers refuse what is minutes old."""
    now = datetime.now(UTC)
    headers = {
        "User-Agent": "Haulway",
        "Content-Type": "application/json",
        "webhook-id": ctx.idempotency_key,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    secrets = [secret.get_secret_value() for secret in payload.secrets] or settings.WEBHOOK_SECRETS
    try:
        signatures = [_signer(secret).sign(ctx.idempotency_key, now, body) for secret in secrets]
    except ValueError as error:
        raise CallFailed(f"WEBHOOK_SECRETS: {error}") from None
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def _signer(secret: str) -> Webhook:
    """Raises ValueError."""
    try:
        return Webhook(secret)
    except (EmptyWebhookSecretError, ValueError) as error:
        raise ValueError("a secret is whsec_ and then base64") from error
