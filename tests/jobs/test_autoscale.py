"""A worker that grows with what waits in Postgres, and shrinks without harm to what runs."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from jobs import lifecycle
from jobs.models import Job, Node
from jobs.submission import checked
from tests.jobs.fleet import Fleet
from tests.waiting import eventually

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_client"),
]


def slots() -> int:
    return Node.objects.values_list("slots", flat=True).get()


def test_a_pool_follows_the_need_and_no_attempt_is_burnt(tmp_path: Path) -> None:
    database = urlsplit(settings.POSTGRES_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = os.environ | {
        "POSTGRES_URL": database,
        "REDIS_URL": settings.REDIS_URL,
        "AUTOSCALE_KEEPALIVE": "1",
        "SCALING_TARGET_SECONDS": "2",
        "HEARTBEAT_SECONDS": "0.3",
    }
    with Fleet(tmp_path, environment) as fleet:
        fleet.dispatcher("dispatcher")
        fleet.worker("elastic", "-Pprefork", "--autoscale=3,1")
        fleet.until_ready("dispatcher", "elastic")
        eventually(lambda: Node.objects.filter(slots=1).exists())
        lifecycle.submit_many([checked("echo", {"sleep": 1}) for _ in range(12)])
        eventually(lambda: slots() == 3)
        eventually(lambda: len(fleet.pool_of("elastic")) == 3)
        eventually(lambda: not Job.objects.exclude(state="completed").exists())
        eventually(lambda: slots() == 1)
        assert not Job.objects.exclude(attempt=1).exists()
        assert fleet.runs("elastic")
