"""The effects ledger: a file to which every run of a handler appends a line, so that repeated effects are seen.

Handlers write it in a worker's process, the verdict reads it when all is over. Whatever the database says was done
can so be held against what was really done.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

PATH_VARIABLE = "CHAOS_LEDGER"


def write(job_id: str, attempt: int) -> None:
    """Append one line with one system call, which cannot mix with another process's line nor be half done."""
    fd = os.open(os.environ[PATH_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, f"{job_id} {attempt}\n".encode())
    finally:
        os.close(fd)


def runs(path: Path) -> Counter[str]:
    """How often a handler ran, by job id."""
    if not path.exists():
        return Counter()
    return Counter(line.partition(" ")[0] for line in path.read_text().splitlines())
