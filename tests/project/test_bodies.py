"""A body that is too large for every door is not even read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.conf import settings

from project.asgi import application

BLOCK = b"x" * 1024 * 1024


def send(*, announced: str | None, blocks: int) -> tuple[list[Any], int]:
    """The messages of the answer to a body of so many blocks, and how many of them were read."""
    said: list[Any] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": BLOCK, "more_body": read < blocks}

    async def hear(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers += [] if announced is None else [(b"content-length", announced.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/jobs",
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.7", 1),
        "server": ("localhost", 80),
    }
    asyncio.run(application(scope, receive, hear))
    return said, read


@pytest.mark.parametrize("announced", ["99999999999", None])
def test_a_body_beyond_all_bounds_is_refused_before_it_has_arrived(announced: str | None) -> None:
    most = settings.MAX_BULK_BODY_BYTES // len(BLOCK)

    (start, body), read = send(announced=announced, blocks=10 * most)

    assert start["status"] == 413
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert json.loads(body["body"])["type"] == "/problems/too-large"
    assert read == (0 if announced else most + 1)
