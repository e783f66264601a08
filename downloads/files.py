"""The finished file of a download: sent over HTTP as long as it is the one that was published, and deleted."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import BinaryIO

from django.http import Http404, HttpRequest, HttpResponseBase

from downloads import storage
from downloads.models import Download
from downloads.publishing import Mark
from jobs.api import sending
from jobs.models import State


def send(request: HttpRequest, download: Download) -> HttpResponseBase:
    """The file, or the range of it that is asked for. Raises Http404 unless it is there as it was published."""
    file, mark = _open(download)
    name = PurePosixPath(download.output).name
    return sending.send(request, file, etag=download.sha256 or mark.version, name=name, media_type=download.media_type)


def _open(download: Download) -> tuple[BinaryIO, Mark]:
    """The file, if it is still the one that was published."""
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
    return open(handle, "rb"), mark  # noqa: PTH123 - closed with the answer


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
