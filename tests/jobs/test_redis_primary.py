"""Redis as production has it: behind sentinels, which move the primary elsewhere, and over TLS, which is verified."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings as project_settings
from django.db import connection
from pytest_django.fixtures import Settings

from jobs import lifecycle, redis_primary
from jobs.models import State
from project.local.ports import LOOPBACK, Port
from project.local.valkey import _installed
from tests.jobs.fleet import Fleet, until
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]
PASSWORD = "of-servers-that-live-for-a-minute"


class Server:
    """A Valkey, or another program that takes its configuration, in a directory of its own."""

    def __init__(self, directory: Path, *lines: str, sentinel: bool = False, program: str = "") -> None:
        directory.mkdir()
        self.port = Port()
        configuration = directory / "server.conf"
        if not any(line.startswith("tls-port") for line in lines):
            lines = (f"port {self.port.number}", *lines)
        text = "\n".join((f"bind {LOOPBACK}", *([] if sentinel else ["save ''"]), *lines))
        configuration.write_text(text.replace("{port}", str(self.port.number)))
        command = [program or str(_installed()), str(configuration), *(["--sentinel"] if sentinel else [])]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, stdout=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.port.release()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def a_fleet(directory: Path, **environment: str) -> Fleet:
    name = connection.settings_dict["NAME"]
    database = urlsplit(project_settings.POSTGRES_URL)._replace(path=f"/{name}").geturl()
    directory.mkdir()
    return Fleet(directory, os.environ | {"POSTGRES_URL": database, "LEASE_SECONDS": "5"} | environment)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Server]]:
    """A primary, its replica, and a sentinel that watches both."""
    keys = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}")
    primary = Server(tmp_path / "primary", *keys)
    replica = Server(tmp_path / "replica", *keys, f"replicaof {LOOPBACK} {primary.port.number}")
    with redis.Redis(LOOPBACK, replica.port.number, password=PASSWORD) as client:
        eventually(lambda: answers(client) and client.info("replication")["master_link_status"] == "up")
    sentinel = Server(
        tmp_path / "sentinel",
        f"sentinel monitor mymaster {LOOPBACK} {primary.port.number} 1",
        f"sentinel auth-pass mymaster {PASSWORD}",
        "sentinel down-after-milliseconds mymaster 1000",
        "sentinel failover-timeout mymaster 3000",
        sentinel=True,
    )
    servers = [primary, replica, sentinel]
    yield servers
    for server in servers:
        server.kill()


def test_when_the_sentinels_move_the_primary_jobs_go_on_without_a_restart(
    three: list[Server], tmp_path: Path, settings: Settings
) -> None:
    primary, _, sentinel = three
    place = f"{LOOPBACK}:{sentinel.port.number}"
    settings.REDIS_URL, settings.REDIS_SENTINELS = f"redis://:{PASSWORD}@ignored:6379/0", [place]
    client = redis_primary.connect(socket_timeout=2, socket_connect_timeout=2)
    eventually(lambda: answers(client))
    with a_fleet(tmp_path / "fleet", REDIS_URL=settings.REDIS_URL, REDIS_SENTINELS=place) as fleet:
        fleet.dispatcher("dispatcher")
        fleet.worker("worker")
        fleet.until_ready("dispatcher", "worker")
        until(lifecycle.submit("echo", {"before": True}), State.COMPLETED)
        primary.kill()
        until(lifecycle.submit("echo", {"after": True}), State.COMPLETED)
        assert fleet.runs("worker")
        assert fleet.runs("dispatcher")
    assert answers(client), "a client of before finds the new primary"
    client.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, and its key; it is its own authority."""
    directory = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(*private))
    return directory


def test_jobs_go_over_tls_and_a_certificate_of_a_stranger_is_refused(
    certificates: Path, tmp_path: Path, settings: Settings
) -> None:
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("the embedded Valkey speaks no TLS; Debian's redis-server does")
    certificate = str(certificates / "certificate.pem")
    server = Server(
        tmp_path / "server",
        "port 0",
        "tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {certificates / 'key.pem'}",
        "tls-auth-clients no",
        f"requirepass {PASSWORD}",
        program=program,
    )
    try:
        settings.REDIS_URL = f"rediss://:{PASSWORD}@{LOOPBACK}:{server.port.number}/0"
        settings.REDIS_CA_FILE = certificate
        with redis_primary.connect() as client:
            eventually(lambda: answers(client))
        with a_fleet(tmp_path / "fleet", REDIS_URL=settings.REDIS_URL, REDIS_CA_FILE=certificate) as fleet:
            fleet.dispatcher("dispatcher")
            fleet.worker("worker")
            fleet.until_ready("dispatcher", "worker")
            until(lifecycle.submit("echo", {}), State.COMPLETED)
        settings.REDIS_CA_FILE = ""
        with redis_primary.connect() as stranger, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
            stranger.ping()
    finally:
        server.kill()
