"""A file server on loopback that gives each connection a limited rate, as servers on the internet do."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from project.local.ports import LOOPBACK

BLOCK = 64 * 1024
RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


class Origin(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, size: int, bytes_per_second: float) -> None:
        super().__init__((LOOPBACK, 0), _Exchange)
        self.content = random.Random(size).randbytes(size)  # noqa: S311 - bytes that differ everywhere are all we want
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.etag = f'"{self.sha256[:16]}"'
        self.bytes_per_second = bytes_per_second
        self.url = f"http://{LOOPBACK}:{self.server_port}/file.bin"


class _Exchange(BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"
    timeout = 30.0

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        start, end = self._head()
        content, began = memoryview(self.server.content), time.monotonic()
        with suppress(ConnectionError):  # who went away needs no more bytes
            for place in range(start, end, BLOCK):
                self.wfile.write(content[place : min(place + BLOCK, end)])
                due = began + (place + BLOCK - start) / self.server.bytes_per_second
                time.sleep(max(0.0, due - time.monotonic()))

    def _head(self) -> tuple[int, int]:
        """Answer the head. Returns which bytes follow, the end exclusive."""
        size = len(self.server.content)
        asked = RANGE.match(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
        if start >= end:
            start = end = 0
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
        elif asked:
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(HTTPStatus.OK)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        return start, end

    def log_message(self, *_: object) -> None:
        """Keep the screen for the demo."""


@contextmanager
def serving(size: int, bytes_per_second: float) -> Iterator[Origin]:
    """Serve a file of `size` bytes, at most `bytes_per_second` per connection, until the block ends."""
    with Origin(size, bytes_per_second) as origin:
        thread = threading.Thread(target=origin.serve_forever, name="origin", daemon=True)
        thread.start()
        try:
            yield origin
        finally:
            origin.shutdown()
            thread.join()
