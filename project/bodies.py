"""Bodies that are too large for every door are refused before they are read.

Django's own handler writes a body to disk to its end before anybody looks at it, whoever sends it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from jobs.api.problems import CONTENT_TYPE, problem

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Coroutine[Any, Any, None]]


def bounded(application: Application, most: int) -> Application:
    """The same ASGI application, which answers 413 to bodies of more than `most` bytes, announced or not."""

    async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        if _announced(scope) > most:
            await _refuse(send, most)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # To who is hung up on Django says nothing, and closes the file that it was filling.
            return message if received <= most else {"type": "http.disconnect"}

        await application(scope, count, send)
        if received > most:
            await _refuse(send, most)

    return answer


def _announced(scope: Message) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(length) if length.isdigit() else 0


async def _refuse(send: Send, most: int) -> None:
    body = json.dumps(problem("too-large", f"A body has at most {most} bytes here.")).encode()
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is still on its way is not read
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
