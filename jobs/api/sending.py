"""A file as an answer: whole or one range of it, in constant memory, and harmless to the browser that gets it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import content_disposition_header

_BLOCK = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def send(request: HttpRequest, file: BinaryIO, *, etag: str, name: str, media_type: str) -> HttpResponseBase:
    """200, 206, 304 or 416. The file is closed with the answer. `etag` changes with the content, and has no quotes."""
    size = os.fstat(file.fileno()).st_size
    etag = f'"{etag}"'
    if request.headers.get("If-None-Match") in (etag, "*"):
        file.close()
        response: HttpResponseBase = HttpResponse(status=304)
    elif (wanted := _range(request, size, etag)) is None:
        response = _body(request, file, 0, size)
    elif wanted[0] >= wanted[1]:
        file.close()
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        start, end = wanted
        response = _body(request, file, start, end)
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    patch_cache_control(response, private=True, no_cache=True)
    _disarm(response, name, media_type)
    return response


def _range(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """First byte and the one after the last. None: the whole file is to be sent, as for all that is not understood."""
    condition = request.headers.get("If-Range")
    match = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if match is None or condition not in (None, etag) or request.method != "GET":
        return None
    first, last = match.groups()
    if first:
        end = min(int(last) + 1, size) if last else size
        return None if last and int(last) < int(first) else (int(first), end)
    return (max(0, size - int(last)), size) if last else None


def _body(request: HttpRequest, file: BinaryIO, start: int, end: int) -> HttpResponseBase:
    if request.method == "HEAD":
        file.close()
        response: HttpResponseBase = HttpResponse()
    else:
        # Django would read a plain iterator to its end before an ASGI server gets the first byte.
        blocks = _AsyncBlocks if isinstance(request, ASGIRequest) else _Blocks
        response = StreamingHttpResponse(blocks(file, start, end))
    response["Content-Length"] = str(end - start)
    return response


class _Span:
    """Bytes [start, end) of a file that is closed with the answer, sent to the end or not."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._end = end

    def close(self) -> None:
        self._file.close()

    def _read(self, at: int) -> bytes:
        block = os.pread(self._file.fileno(), min(_BLOCK, self._end - at), at)
        if not block:
            raise OSError("the file became shorter while it was sent")
        return block


class _Blocks(_Span):
    def __iter__(self) -> Iterator[bytes]:
        at = self._start
        while at < self._end:
            block = self._read(at)
            at += len(block)
            yield block


class _AsyncBlocks(_Span):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self._start
        while at < self._end:
            block = await asyncio.to_thread(self._read, at)
            at += len(block)
            yield block


def _disarm(response: HttpResponseBase, name: str, media_type: str) -> None:
    """The content is somebody else's: a browser shall save it, and neither guess what it is nor run it as ours."""
    known = _MEDIA_TYPE.fullmatch(media_type)
    response["Content-Type"] = media_type if known else "application/octet-stream"
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
