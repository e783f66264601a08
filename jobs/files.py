"""Result files: written by the attempts of a job, listed and served with it, and deleted when it is.

They lie below the download root, in a folder per job. What is being written has a name that begins with a dot, and is
neither listed nor served.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

FOLDER = ".results"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}")

JobId = uuid.UUID | str


class BadName(ValueError):
    """Not a name that a result file can have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} cannot name a result file: letters, digits, . _ - and spaces, not a dot first")


@dataclass(frozen=True)
class ResultFile:
    """A finished result file."""

    name: str
    bytes: int


class ResultFiles:
    """The files of one job, in the hands of one attempt."""

    def __init__(self, job_id: str, attempt: int, held: Callable[[], AbstractContextManager[None]]) -> None:
        self._folder = _folder(job_id)
        self._attempt = attempt
        self._held = held

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """A file to write bytes to. It appears whole at the end of the block, and replaces one of the same name.

        Nothing appears if the block raises, or if another attempt has the job by then (LeaseLost). Raises BadName.
        """
        target = self._folder / _checked(name)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._sweep()
        part = self._folder / f".{name}.{self._attempt}"
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with self._held():
                part.replace(target)
            _sync(self._folder)
        finally:
            part.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what attempts that were killed have left half written."""
        for left in self._folder.glob(".*"):
            if not left.name.endswith(f".{self._attempt}"):
                left.unlink(missing_ok=True)


def listing(job_id: JobId) -> list[ResultFile]:
    """The finished files of a job, by name."""
    try:
        with os.scandir(_folder(job_id)) as found:
            files = [ResultFile(one.name, one.stat().st_size) for one in found if _NAME.fullmatch(one.name)]
    except FileNotFoundError:
        return []
    return sorted(files, key=lambda file: file.name)


def version(job_id: JobId) -> int:
    """Another number whenever a file has appeared or gone; 0 while there are none."""
    try:
        return _folder(job_id).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def opened(job_id: JobId, name: str) -> BinaryIO:
    """A finished file, to read. Raises FileNotFoundError, also for a name that none can have."""
    try:
        path = _folder(job_id) / _checked(name)
    except BadName as error:
        raise FileNotFoundError(str(error)) from error
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")  # noqa: PTH123


def delete(job_ids: Iterable[JobId]) -> None:
    """Remove all files of these jobs."""
    for job_id in job_ids:
        shutil.rmtree(_folder(job_id), ignore_errors=True)


def _folder(job_id: JobId) -> Path:
    return Path(settings.DOWNLOAD_ROOT) / FOLDER / str(uuid.UUID(str(job_id)))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadName(name)
    return name


def _sync(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
