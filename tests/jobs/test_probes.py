"""What probes are told: alive, ready, and by a file how long ago a process without HTTP was awake."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import heartbeat, probes

STRANGE = {"host": "10.1.2.3:8080"}  # probes call pods by their address, which is no allowed host


def test_a_process_is_alive_without_postgres_and_under_any_name(client: Client) -> None:
    answer = client.get("/livez", headers=STRANGE)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.mark.django_db
def test_it_is_ready_when_postgres_answers_and_is_migrated(client: Client) -> None:
    answer = client.get("/readyz", headers=STRANGE)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.django_db(transaction=True)
def test_it_is_not_ready_before_its_migrations_are_applied(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM django_migrations WHERE app = 'jobs' ORDER BY name DESC LIMIT 1")
        (latest,) = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs' AND name = %s", [latest])
    try:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert f"jobs.{latest}" in answer.json()["detail"]
    finally:
        call_command("migrate", "jobs", fake=True, verbosity=0)
    assert client.get("/readyz").status_code == 200


def test_the_heartbeat_file_is_touched(settings: Settings, tmp_path: Path) -> None:
    settings.HEARTBEAT_FILE = str(tmp_path / "beat")
    heartbeat.beat()
    assert (tmp_path / "beat").exists()


def test_a_heartbeat_that_cannot_be_written_is_said_once_and_stops_nobody(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_complained", False)
    settings.HEARTBEAT_FILE = str(tmp_path / "missing" / "beat")
    heartbeat.beat()
    heartbeat.beat()
    assert len(caplog.records) == 1
