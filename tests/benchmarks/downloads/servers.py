"""The origins of the benchmark: nginx on loopback, throttled in three ways, and a proxy that adds distance."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
SMALL_FILES = 100
SMALL_SIZE = 256 * 1024
LOSS = 1e-4  # of the packets on a long line

_NGINX = """
worker_processes 1; daemon off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  map $connection $uneven {{ ~[02468]$ 400k; default 6m; }}
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl; root {place}/www;
    ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem; ssl_protocols TLSv1.3;
    location /throttled/ {{ alias {place}/www/; limit_rate 5m; }}
    location /uneven/ {{ alias {place}/www/; limit_rate $uneven; }}
  }}
}}
"""


@dataclass(frozen=True)
class Servers:
    """Where the origins listen, and what they serve."""

    place: Path
    port: int
    tls_port: int
    near: int
    far: int

    @property
    def certificate(self) -> Path:
        return self.place / "cert.pem"

    @property
    def files(self) -> Path:
        return self.place / "www"


@contextlib.contextmanager
def servers(place: Path, *, big: int) -> Iterator[Servers]:
    """Write files of random bytes (``big`` MiB, 200 MiB, 20 MiB, and small ones) into ``place`` and serve them."""
    if shutil.which("nginx") is None:
        raise SystemExit("The benchmark needs nginx: apt-get install nginx-light aria2 axel wget2 curl")
    (place / "www").mkdir(parents=True, exist_ok=True)
    # Started by root, nginx reads the files as somebody else.
    place.chmod(0o755)
    _write(place / "www" / "big.bin", big * MIB)
    _write(place / "www" / "middle.bin", 200 * MIB)
    _write(place / "www" / "distant.bin", 20 * MIB)
    for number in range(SMALL_FILES):
        _write(place / "www" / f"small{number}.bin", SMALL_SIZE)
    make_certificate = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
    ]
    names, key, certificate = "subjectAltName=DNS:localhost,IP:127.0.0.1", place / "key.pem", place / "cert.pem"
    subprocess.run(
        [*make_certificate, names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    at = Servers(place, *(_free_port() for _ in range(4)))
    (place / "nginx.conf").write_text(_NGINX.format(place=place, port=at.port, tls_port=at.tls_port))
    commands = [["nginx", "-p", str(place), "-c", str(place / "nginx.conf")]]
    for port, delay, loss in ((at.near, 0.040, LOSS), (at.far, 0.200, LOSS)):
        words = (port, at.port, delay, loss)
        commands.append([sys.executable, "-m", "tests.benchmarks.downloads.distance", *map(str, words)])
    with contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            stack.callback(_end, process)
        for port in (at.port, at.near, at.far):
            _wait_for(port)
        yield at


def _write(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size == size:
        return
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
