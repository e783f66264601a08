"""Settings from the environment: secrets from files, all faults at once, and servers described to their clients."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from project import servers

PROJECT = Path(__file__).resolve().parent.parent.parent
CLEAN = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}


def start(expression: str = "None", **environment: str) -> subprocess.CompletedProcess[str]:
    script = f"import json, project.settings as s; print(json.dumps({expression}))"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=CLEAN | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def read(expression: str, **environment: str) -> Any:
    done = start(expression, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_start_with_wrong_settings_names_every_fault_on_a_line_and_no_value() -> None:
    done = start(
        HEARTBEAT_SECONDS="often",
        POSTGRES_URL="mysql://user:verysecret@host/db",
        REDIS_URL="http://:verysecret@host",
        SECRET_KEY_FILE="/nonexistent/key",
        EMAIL_URL="pigeon://somewhere",
        DOWNLOAD_WINDOW="at night",
    )
    assert done.returncode == 1
    head, *lines = done.stderr.splitlines()
    assert head == "Haulway does not start, because settings are wrong:"
    assert {line.split(":")[0].strip() for line in lines} == {
        "HEARTBEAT_SECONDS",
        "POSTGRES_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "EMAIL_URL",
        "DOWNLOAD_WINDOW",
    }
    assert "verysecret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "program", [["-m", "celery", "-A", "project", "worker"], ["-m", "uvicorn", "project.asgi:application"]]
)
def test_workers_and_web_stop_with_the_same_lines(program: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *program],
        cwd=PROJECT,
        env=CLEAN | {"LEASE_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "LEASE_SECONDS: must be more than 0" in done.stderr


def test_passwords_come_from_files_and_are_put_where_the_addresses_have_none(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    found = read(
        "[s.DATABASES['default']['PASSWORD'], s.DATABASES['default']['HOST'], s.REDIS_URL, s.CELERY_BROKER_URL]",
        POSTGRES_URL="postgres://haulway@postgres:5432/haulway",
        POSTGRES_PASSWORD_FILE=str(tmp_path / "password"),
        REDIS_URL="redis://redis:6379/3",
        REDIS_PASSWORD_FILE=str(tmp_path / "password"),
    )
    address = "redis://:p%40ss%2Fword@redis:6379/3"
    assert found == ["p@ss/word", "postgres", address, address]


def test_a_password_in_the_address_is_the_one_that_counts() -> None:
    assert servers.redis_url("rediss://user:one@host:6380/0", "two") == "rediss://user:one@host:6380/0"


def test_redis_over_tls_is_verified_by_celery_too() -> None:
    found = servers.broker("rediss://host:6380/0", "/ca.pem", [], {})
    assert found["ssl"] == {"ssl_cert_reqs": 2, "ssl_check_hostname": True, "ssl_ca_certs": "/ca.pem"}


def test_behind_a_pooler_nothing_is_set_for_a_session() -> None:
    options = (
        "[s.DATABASES['default']['OPTIONS'].get('options'), s.DATABASES['default']['DISABLE_SERVER_SIDE_CURSORS']]"
    )
    assert read(options, DATABASE_TRANSACTION_POOLING="1") == [None, True]
    assert "statement_timeout=30000" in read(options)[0]


@pytest.mark.django_db
def test_a_postgres_that_has_vanished_is_given_up_on_after_seconds() -> None:
    connection.ensure_connection()
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_tls_to_postgres_is_what_the_address_says() -> None:
    found = read(
        "s.DATABASES['default']['OPTIONS']['sslmode']",
        POSTGRES_URL="postgres://haulway@db.example.org/haulway?sslmode=verify-full",
    )
    assert found == "verify-full"
