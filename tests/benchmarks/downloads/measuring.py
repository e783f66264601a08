"""One run of one client: wall clock, CPU and memory, and whether the bytes are right."""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource
    from collections.abc import Sequence

    from tests.benchmarks.downloads.clients import Client
    from tests.benchmarks.downloads.servers import Servers

LONGEST = 90.0


@dataclass(frozen=True)
class Run:
    """``rate`` in MB/s, ``cpu`` in seconds per GB, ``memory`` in MiB at the peak; ``fault`` in words, or empty."""

    client: str
    rate: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    fault: str = ""


def run(client: Client, urls: Sequence[str], *, at: Servers, into: Path, connections: int) -> Run:
    """Fetch, compare every byte with what is served, and clean up."""
    directory = Path(tempfile.mkdtemp(prefix="haulway-bench-", dir=into))
    try:
        began = time.perf_counter()
        process = subprocess.Popen(
            client.command(urls, directory, connections, at.certificate),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=directory,
        )
        code, used, memory = _wait(process, began + LONGEST)
        seconds = time.perf_counter() - began
        output = process.stdout.read() if process.stdout else b""
        cpu = used.ru_utime + used.ru_stime
        if code is None:
            return Run(client.name, fault=f"not finished after {LONGEST:g} s")
        names = [url.rpartition("/")[2] for url in urls]
        wrong = [name for name in names if not same(at.files / name, directory / name)]
        if code or wrong:
            return Run(client.name, fault="wrong bytes" if wrong and not code else f"exit code {code}")
        if client.timed_inside:
            inside = json.loads(output.splitlines()[-1])
            seconds, cpu = inside["seconds"], inside["cpu"]
        size = sum((at.files / name).stat().st_size for name in names)
        return Run(client.name, size / seconds / 1e6, cpu / (size / 1e9), memory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[int | None, resource.struct_rusage, float]:
    """Wait for the process; its exit code, what it used, and its peak of memory in MiB.

    Polls finely, because wait4 has no timeout. The peak is read from /proc, because ru_maxrss counts what the parent
    held at the fork.
    """
    memory = 0.0
    while True:
        memory = max(memory, _peak(process.pid))
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, used, memory
        if time.perf_counter() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            return None, used, memory
        time.sleep(0.005)


def _peak(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def same(right: Path, fetched: Path) -> bool:
    return fetched.exists() and filecmp.cmp(right, fetched, shallow=False)
