"""The doctor finds what is wrong, and names the line that mends it."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import doctor, leadership, lifecycle
from jobs.doctor import Finding, Level
from jobs.models import Node

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


def found(part: str, words: str = "") -> Finding:
    findings = doctor.examine()
    return next(one for one in findings if one.part == part and words in one.what)


def a_worker(*, queues: list[str], kinds: list[str], release: str = "1.0") -> None:
    Node.objects.create(
        id=uuid.uuid4(),
        name="a@host",
        queues=queues,
        kinds=kinds,
        slots=2,
        pid=1,
        release=release,
        expires_at=timezone.now() + timedelta(minutes=1),
    )


def test_whatever_is_not_well_has_a_line_that_mends_it() -> None:
    findings = doctor.examine()
    assert {one.part for one in findings} >= {"postgres", "redis", "migrations", "clock", "eviction", "disk", "workers"}
    assert [one for one in findings if (one.level == Level.WELL) == bool(one.remedy)] == []


def test_without_a_dispatcher_and_workers_nothing_runs() -> None:
    assert found("dispatcher").remedy == "celery -A project beat"
    assert found("workers", "none is alive").level == Level.FAULT


def test_a_fleet_that_is_complete_is_well() -> None:
    leadership.lead("one")
    a_worker(queues=["medium"], kinds=["echo"])
    assert found("dispatcher").level == Level.WELL
    assert found("workers").what == "1 alive with 2 slots"


def test_an_eviction_policy_that_drops_messages_is_a_fault(redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "CONFIG SET maxmemory-policy noeviction" in found("eviction").remedy
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert found("eviction").level == Level.WELL


def test_messages_in_a_queue_that_nobody_serves_are_found(redis_client: redis.Redis) -> None:
    redis_client.lpush("low.io", "{}")
    assert found("queues", "low.io").remedy == "celery -A project worker -Q low.io"
    a_worker(queues=["low.io"], kinds=["echo"])
    assert [one for one in doctor.examine() if one.part == "queues"] == []


def test_jobs_that_no_worker_would_take_are_found() -> None:
    lifecycle.submit("echo", {}, priority="high")
    assert "jobs wait in high, which no worker serves" in found("queues").what
    a_worker(queues=["high"], kinds=["send_email"])
    assert "no worker there knows that kind" in found("queues").what
    a_worker(queues=["high"], kinds=["echo"])
    assert [one for one in doctor.examine() if one.part == "queues"] == []


def test_workers_of_different_releases_are_named() -> None:
    a_worker(queues=["high"], kinds=["echo"], release="1.0")
    a_worker(queues=["high"], kinds=["echo"], release="1.1")
    assert "1 of 1.0, 1 of 1.1" in found("workers", "different releases").what


def test_a_redis_that_is_away_is_a_fault_and_the_rest_is_examined(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert found("redis").level == Level.FAULT
    assert found("migrations").level == Level.WELL


def test_a_directory_that_cannot_be_written_to_is_a_fault(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.DOWNLOAD_ROOT = tmp_path / "file" / "downloads"
    assert found("disk").level == Level.FAULT


def test_settings_that_will_hurt_are_named(settings: Settings) -> None:
    settings.LEASE_SECONDS, settings.RETENTION_DAYS, settings.ALLOWED_HOSTS = 2.0, 0.0, ["*"]
    assert {one.remedy.partition("=")[0] for one in doctor.examine() if one.part == "settings"} >= {
        "LEASE_SECONDS",
        "RETENTION_DAYS",
        "ALLOWED_HOSTS",
    }


def test_the_command_says_it_to_people_and_programs_and_fails_on_a_fault() -> None:
    for options in ([], ["--json"]):
        said = StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("doctor", *options, stdout=said)
        assert ended.value.code == 1
        assert "celery -A project beat" in said.getvalue()
        if options:
            assert {one["level"] for one in json.loads(said.getvalue())} == {"well", "warning", "fault"}
