"""Haulway's web process on the ground, with the bare view beside it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

from project.local.ports import LOOPBACK, Port
from tests.benchmarks.jobs.ground import Ground

PATIENCE = 60.0


@contextmanager
def serving(ground: Ground) -> Iterator[int]:
    """Yields the port."""
    port = Port()
    words = ["uvicorn", "project.asgi:application", f"--host={LOOPBACK}", f"--port={port.number}", "--no-access-log"]
    with ground.running([words], {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.jobs.app.settings"}):
        _await(port.number)
        yield port.number
    port.release()


def _await(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
