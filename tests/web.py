"""A web server of a test's own, as anybody may start one: without a time limit for open answers."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from project.local.datadir import Addresses
from project.local.ports import Port
from tests.browser.scene import wait_for


@dataclass
class Web:
    process: subprocess.Popen[bytes]
    port: int
    name: str  # by which Postgres knows it

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_web(stack: Addresses, **environment: str) -> Iterator[Web]:
    """On the servers of that stack."""
    port = Port()
    name = f"web-{uuid.uuid4().hex[:8]}"
    told = {
        **os.environ,
        "POSTGRES_URL": stack.postgres_url,
        "REDIS_URL": stack.redis_url,
        "OPEN_ON_LOOPBACK": "1",
        "APPLICATION_NAME": name,
        **environment,
    }
    words = [sys.executable, "-m", "uvicorn", "project.asgi:application", f"--port={port.number}"]
    with subprocess.Popen([*words, "--log-level=warning"], env=told) as process:
        started = Web(process, port.number, name)
        try:
            wait_for(lambda: _answers(started))
            yield started
        finally:
            process.kill()
            port.release()


def _answers(web: Web) -> bool:
    try:
        return requests.get(f"{web.root}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
