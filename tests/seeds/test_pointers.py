"""Each door names what is wrong by its own fields, whatever these become within."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from jobs.models import Job


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/downloads", {"url": "ftp://example.com/a"}, "/url"),
        ("/jobs", {"api_url": "ftp://example.com/a"}, "/api_url"),
        ("/jobs", {"api_url": "https://example.com/a", "timeout": 10**6}, "/timeout"),
        ("/jobs", {"api_url": "https://example.com/a", "scheduled_at": "9999-01-01T00:00:00Z"}, "/scheduled_at"),
        ("/api/v1/tasks", {"type": "nothing"}, "/type"),
        ("/task", {"type": "nothing"}, "/type"),
        ("/task", {"type": "email-notification", "payload": "nobody"}, "/payload"),
        ("/task", {"type": "send_email", "payload": {"recipient": "nobody"}}, "/payload/recipient"),
        ("/api/queue/jobs", {"type": "product", "target_url": "ftp://example.com/a"}, "/target_url"),
        ("/api/v1/webhooks/test", {"url": "ftp://example.com/a"}, "/url"),
    ],
)
def test_a_fault_is_named_by_the_field_of_the_door(
    client: Client, settings: Settings, path: str, body: dict[str, Any], pointer: str
) -> None:
    settings.OPEN_ON_LOOPBACK = True

    answer = client.post(path, body, content_type="application/json")

    assert answer.status_code == 400
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert not Job.objects.exists()
