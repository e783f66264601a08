"""A finished file over HTTP: whole or one range of it, in constant memory, and harmless to the browser that gets it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import content_disposition_header

from downloads import storage
from downloads.models import Download
from downloads.publishing import Mark
from jobs.models import State

_BLOCK = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def send(request: HttpRequest, download: Download) -> HttpResponseBase:
    """200, 206, 304 or 416. Raises Http404 unless the file is there as it was published."""
    handle, size = _open(download)
    etag = f'"{download.sha256}"'
    if request.headers.get("If-None-Match") in (etag, "*"):
        os.close(handle)
        response: HttpResponseBase = HttpResponse(status=304)
    elif (wanted := _range(request, size, etag)) is None:
        response = _body(request, handle, 0, size)
    elif wanted[0] >= wanted[1]:
        os.close(handle)
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        start, end = wanted
        response = _body(request, handle, start, end)
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    patch_cache_control(response, private=True, no_cache=True)
    _disarm(response, download)
    return response


def _open(download: Download) -> tuple[int, int]:
    """Descriptor and size of the file, if it is still the one whose digest is known."""
    mark = Mark.read(download.published)
    if mark is None or download.job.state != State.COMPLETED:
        raise Http404
    try:
        handle = os.open(storage.located(mark.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, storage.EscapesRoot) as error:
        raise Http404 from error
    if not mark.describes(os.fstat(handle)):
        os.close(handle)
        raise Http404
    return handle, mark.size


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


def _body(request: HttpRequest, handle: int, start: int, end: int) -> HttpResponseBase:
    if request.method == "HEAD":
        os.close(handle)
        response: HttpResponseBase = HttpResponse()
    else:
        # Django would read a plain iterator to its end before an ASGI server gets the first byte.
        blocks = _AsyncBlocks if isinstance(request, ASGIRequest) else _Blocks
        response = StreamingHttpResponse(blocks(handle, start, end))
    response["Content-Length"] = str(end - start)
    return response


class _Span:
    """Bytes [start, end) of a file that is closed with the answer, sent to the end or not."""

    def __init__(self, handle: int, start: int, end: int) -> None:
        self._file = open(handle, "rb", buffering=0)  # noqa: SIM115 - close() is called by the response
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


def _disarm(response: HttpResponseBase, download: Download) -> None:
    """The file is somebody else's: a browser shall save it, and neither guess what it is nor run it as ours."""
    known = _MEDIA_TYPE.fullmatch(download.media_type)
    response["Content-Type"] = download.media_type if known else "application/octet-stream"
    name = PurePosixPath(download.output).name
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"


def remove(download: Download) -> bool:
    """Delete the file, if it is there and still the one that this download published. Whether it was."""
    mark = Mark.read(download.published)
    if mark is None:
        return False
    try:
        path = storage.located(mark.path)
        if not mark.describes(path.lstat()):
            return False
        path.unlink()
    except (FileNotFoundError, NotADirectoryError, storage.EscapesRoot):
        return False
    return True
