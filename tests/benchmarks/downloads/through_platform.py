"""Our engine through the whole platform: submitted over HTTP to a running stack, fetched by its worker, published.

The clock runs from the submission to the end of the job, both by the database. Processor time and memory are those of
the worker process that downloads.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from project.demo.api import Api
from project.local.launch import launch
from tests.benchmarks.downloads.measuring import LONGEST, Run, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.downloads.servers import Servers

NAME = "haulway, platform"
_LOOK_EVERY = 0.25  # seconds: each look takes of the processors that are measured, and the clock does not depend on it
_FINISHED = ("completed", "failed", "cancelled", "paused")


class Platform:
    """`with Platform(at, into)`: a stack runs whose downloads lie below ``into``."""

    def __init__(self, at: Servers, into: Path) -> None:
        self._at = at
        self._into = into

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="haulway-bench-", dir=self._into))
        os.environ["SSL_CERT_FILE"] = str(self._at.certificate)
        try:
            self._stack = launch("--data-dir", str(self._directory), "--port", "0")
        finally:
            del os.environ["SSL_CERT_FILE"]
        assert self._stack.addresses.api
        self._api = Api(self._stack.addresses.api)
        family = psutil.Process(self._stack.process.pid).children(recursive=True)
        self._worker = next(process for process in family if "-Pthreads" in " ".join(process.cmdline()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, urls: Sequence[str], connections: int) -> Run:
        """As measuring.run()."""
        # From here on the kernel's mark of the most memory begins anew.
        Path(f"/proc/{self._worker.pid}/clear_refs").write_text("5")
        memory, spent = self._worker.memory_info().rss, self._processor_seconds()
        ids = [self._api.submit("downloads", url=url, threads=connections)["id"] for url in urls]
        rows = self._finished(ids)
        if rows is None:
            return Run(NAME, fault=f"not finished after {LONGEST:g} s")
        cpu = self._processor_seconds() - spent
        root, names = Path(self._stack.addresses.download_root), [url.rpartition("/")[2] for url in urls]
        failed = [row for row in rows if row["state"] != "completed"]
        wrong = [name for name in names if not same(self._at.files / name, root / name)]
        for name in names:
            (root / name).unlink(missing_ok=True)
        if failed or wrong:
            return Run(NAME, fault=failed[0]["error"] if failed else "wrong bytes")
        began = min(datetime.fromisoformat(row["created_at"]) for row in rows)
        ended = max(datetime.fromisoformat(row["finished_at"]) for row in rows)
        size = sum((self._at.files / name).stat().st_size for name in names)
        seconds = (ended - began).total_seconds()
        return Run(NAME, size / seconds / 1e6, cpu / (size / 1e9), self._peak() - memory / 1024 / 1024)

    def _finished(self, ids: Sequence[str]) -> list[dict[str, Any]] | None:
        deadline = time.monotonic() + LONGEST
        rows = []
        for one in ids:
            while (row := self._api.get("downloads", one))["state"] not in _FINISHED:
                if time.monotonic() > deadline:
                    return None
                time.sleep(_LOOK_EVERY)
            rows.append(row)
        return rows

    def _processor_seconds(self) -> float:
        used = self._worker.cpu_times()
        return float(used.user + used.system)

    def _peak(self) -> float:
        lines = Path(f"/proc/{self._worker.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
