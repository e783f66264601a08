"""The machine that the doctor runs on: the disk that files go to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from jobs.doctor.findings import Finding, fault, warning, well

_LEAST_FREE = 1 << 30  # bytes, beside what downloads leave to others anyhow


def examine() -> Iterator[Finding]:
    root = Path(settings.DOWNLOAD_ROOT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        yield fault(
            "disk",
            f"DOWNLOAD_ROOT cannot be written to: {error.strerror}",
            f"mkdir -p {root} && chown {os.geteuid()} {root}",
        )
        return
    free, total = shutil.disk_usage(root).free, shutil.disk_usage(root).total
    told = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free for files"
    if free < settings.DOWNLOAD_RESERVE_BYTES + _LEAST_FREE:
        yield warning(
            "disk", told, "Delete finished downloads, set RETENTION_DAYS lower, or give DOWNLOAD_ROOT a larger disk."
        )
    else:
        yield well("disk", told)
