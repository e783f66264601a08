"""Stacks for the tests: the same `manage.py up` that people run, as a process that ends when the tests do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SECONDS_TO_STOP = 60.0


@contextmanager
def running_stack(*options: str) -> Iterator[dict[str, Any]]:
    """Run `manage.py up --json` with these options; gives the line it prints when all is ready."""
    command = [sys.executable, str(PROJECT / "manage.py"), "up", "--json", "--with-parent", *options]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"`manage.py up` ended with exit code {process.wait()} before it was ready")
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
