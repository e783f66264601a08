"""The kind `http_request`: call an HTTP API, wait for its answer as long as it takes, and keep it."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from jobs.calling import Headers, Url, call, check_header, is_permanent, judge
from jobs.kinds import Context, Lane, handler
from jobs.sealed import Secret

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # the others may act twice when asked twice


class Basic(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["basic"]
    username: str = Field(max_length=1000)
    password: Secret

    def header(self) -> str:
        login = f"{self.username}:{self.password.get_secret_value()}"
        return f"Basic {base64.b64encode(login.encode()).decode()}"


class Bearer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["bearer"]
    token: Secret

    def header(self) -> str:
        return f"Bearer {self.token.get_secret_value()}"


class HttpRequest(BaseModel):
    """One call of an HTTP API."""

    model_config = ConfigDict(extra="forbid")

    api_url: Url
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Headers = Field(default_factory=dict, description="Shown with the job; secrets go into secret_headers.")
    secret_headers: dict[str, Secret] = Field(default_factory=dict, description="Kept encrypted, and never shown.")
    body: JsonValue = Field(default=None, description="A string is sent as text, anything else as JSON.")
    auth: Annotated[Basic | Bearer, Field(discriminator="type")] | None = None
    timeout: float = Field(
        default_factory=lambda: settings.HTTP_TIMEOUT,
        gt=0,
        le=86_400,
        description="Seconds that the server may take to answer; 90, or WORKER_HTTP_TIMEOUT, if left out.",
    )
    expected_statuses: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        default_factory=list, max_length=50, description="Statuses that mean success; any from 200 to 299 if left out."
    )
    follow_redirects: bool = True

    @model_validator(mode="after")
    def secrets_can_be_sent(self) -> HttpRequest:
        for name, value in self.secret_headers.items():
            check_header(name, value.get_secret_value())
        if isinstance(self.auth, Bearer):
            check_header("Authorization", self.auth.header())
        return self

    def content(self) -> tuple[bytes | None, str]:
        """The body as bytes, and its media type."""
        if self.body is None:
            return None, ""
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body, ensure_ascii=False).encode(), "application/json"

    def expects(self, status: int) -> bool:
        return status in self.expected_statuses if self.expected_statuses else 200 <= status < 300


@handler("http_request", lane=Lane.IO, max_retries=settings.HTTP_RETRIES)
def http_request(payload: HttpRequest, ctx: Context) -> dict[str, Any]:
    """Call an HTTP API and keep its answer. Waits for minutes or hours without holding up other jobs."""
    body, media_type = payload.content()
    headers = {"User-Agent": "Haulway", "Accept": "*/*"}
    if media_type:
        headers["Content-Type"] = media_type
    if payload.method not in _REPEATABLE:
        headers["Idempotency-Key"] = ctx.idempotency_key
    if payload.auth:
        headers["Authorization"] = payload.auth.header()
    own = payload.headers | {name: value.get_secret_value() for name, value in payload.secret_headers.items()}
    taken = {name.lower() for name in own}
    headers = {name: value for name, value in headers.items() if name.lower() not in taken} | own
    answer = call(
        ctx,
        payload.method,
        payload.api_url,
        headers=headers,
        body=body,
        timeout=payload.timeout,
        redirects=payload.follow_redirects,
    )
    judge(answer, fits=payload.expects, permanent=is_permanent)
    return answer.kept()
