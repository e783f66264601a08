"""Where downloads lie: finished files below the root, unfinished ones beside them under the id of their job."""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from django.conf import settings

from jobs.files import FOLDER as _RESULTS

_LONGEST_PART = 255  # bytes; what file systems take
_PARTS = ".parts"  # on the same file system as the finished files, so that publishing is a rename


class EscapesRoot(ValueError):
    """The name leads out of the download root, or to nothing that could be a file in it."""


def checked_output(name: str) -> str:
    """A relative file name inside the download root, in its simplest form. Raises EscapesRoot.

    The name alone is judged here; links on the disk are looked at when the file is published.
    """
    path = PurePosixPath(name)
    wrong = (
        not name.strip()
        or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)
        or name.endswith("/")
        or path.is_absolute()
        or "\\" in name
        or any(part == ".." or len(part.encode()) > _LONGEST_PART for part in path.parts)
        or (path.parts and path.parts[0] in (_PARTS, _RESULTS))
        or path.name in ("", ".")
    )
    if wrong:
        raise EscapesRoot("must be a file name, or a path of plain names, inside the download root")
    return str(path)


def part_file(job_id: uuid.UUID | str) -> Path:
    """Where the bytes of an unfinished download lie. Its directory is made if need be."""
    directory = Path(settings.DOWNLOAD_ROOT) / _PARTS
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    return directory / f"{job_id}.part"


def located(output: str) -> Path:
    """Where a finished file lies. Raises EscapesRoot, also where a link leads outside."""
    root = Path(settings.DOWNLOAD_ROOT).resolve()
    target = root / checked_output(output)
    directory = target.parent.resolve()
    if not directory.is_relative_to(root):
        raise EscapesRoot("leads out of the download root by a link")
    return directory / target.name


def destination(output: str) -> Path:
    """As located(), for a file that is about to come: its directories are made."""
    target = located(output)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    return target


def alternatives(output: str) -> Iterator[str]:
    """The name itself, then `name (1).ext`, `name (2).ext` and so on, for when it is taken."""
    path = PurePosixPath(output)
    yield output
    for number in range(1, 1000):
        yield str(path.with_name(f"{path.stem} ({number}){path.suffix}"))


def parts() -> Iterator[tuple[uuid.UUID, float]]:
    """The jobs that unfinished files belong to, each with the seconds since something was last written for it."""
    ages: dict[uuid.UUID, float] = {}
    directory = Path(settings.DOWNLOAD_ROOT) / _PARTS
    for path in directory.iterdir() if directory.is_dir() else ():
        with suppress(OSError, ValueError):  # gone meanwhile; not one of ours
            job_id = uuid.UUID(path.name.partition(".")[0])
            ages[job_id] = min(ages.get(job_id, float("inf")), time.time() - path.stat().st_mtime)
    yield from ages.items()
