"""Seed 002, the task queue: its requests as printed, its task types, priorities and metrics."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.origins import Exchange, FileOrigin, Origin
from tests.seeds.conftest import TIMEOUT, Api

EMAIL = {"recipient": "user@example.com", "subject": "Hello World", "body": "This is a test email"}


def submitted(api: Api, task_type: str, payload: dict[str, Any], priority: int, **more: Any) -> dict[str, Any]:
    """The task as its status door shows it when it has ended."""
    body = {"type": task_type, "priority": priority, "payload": payload} | more
    answer = api.post("/api/v1/tasks", body)
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert accepted == {"task_id": accepted["task_id"], "status": "submitted"}
    api.ended(accepted["task_id"])
    task: dict[str, Any] = api.get(f"/api/v1/tasks/{accepted['task_id']}")
    return task


def test_the_printed_task_is_submitted_and_its_status_has_the_printed_fields(api: Api) -> None:
    task = submitted(api, "send_email", EMAIL, 2, max_retries=3)
    assert set(task) == {
        "id",
        "type",
        "priority",
        "status",
        "payload",
        "max_retries",
        "retry_count",
        "created_at",
        "started_at",
        "completed_at",
        "worker_id",
    }
    assert (task["type"], task["priority"], task["status"]) == ("send_email", 2, "completed")
    assert (task["max_retries"], task["retry_count"], task["payload"]) == (3, 0, EMAIL)
    assert task["created_at"] <= task["started_at"] <= task["completed_at"]
    assert task["worker_id"]


def test_an_image_is_resized_as_printed(api: Api) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(picture, "JPEG")
    with FileOrigin(picture.getvalue()) as origin:
        task = submitted(api, "process_image", {"image_url": origin.url("/image.jpg"), "operation": "resize"}, 1)
    assert task["status"] == "completed"


def test_data_is_exported_as_printed(api: Api) -> None:
    assert submitted(api, "export_data", {"format": "csv", "filters": {}}, 0)["status"] == "completed"


def test_a_webhook_is_called_as_printed(api: Api) -> None:
    def take(exchange: Exchange) -> None:
        exchange.head(204)

    with Origin(take) as origin:
        payload = {"url": origin.url("/webhook"), "method": "POST", "body": {}}
        assert submitted(api, "call_webhook", payload, 3)["status"] == "completed"
        assert [exchange.method for exchange in origin.seen] == ["POST"]


@pytest.mark.parametrize(("level", "queue"), [(3, "critical"), (2, "high"), (1, "medium"), (0, "low")])
def test_the_four_levels_are_the_four_queues(api: Api, level: int, queue: str) -> None:
    task = submitted(api, "echo", {}, level)
    assert (task["priority"], api.get(f"/api/v1/jobs/{task['id']}")["priority"]) == (level, queue)


def test_a_failing_task_is_retried_and_counted(api: Api) -> None:
    task = submitted(api, "echo", {"fail_times": 1}, 1)
    assert (task["status"], task["retry_count"]) == ("completed", 1)


def test_the_queue_statistics_have_the_printed_shape(api: Api) -> None:
    assert set(api.get("/api/v1/stats")) == {"pending", "processing", "completed", "failed"}


def test_the_metrics_have_the_printed_names_and_labels(api: Api) -> None:
    submitted(api, "echo", {}, 1)
    exposed = requests.get(f"{api.address}/metrics", timeout=TIMEOUT).text
    labels = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
    }
    assert labels["tasks_submitted_total"] == {"type", "priority"}
    assert labels["tasks_processed_total"] == {"type", "status"}
    assert labels["task_duration_seconds_sum"] == labels["task_duration_seconds_count"] == {"type"}
    assert labels["queue_size"] == {"priority"}
    assert labels["workers_active"] == set()
    assert labels["task_retries_total"] == {"type"}


@pytest.mark.parametrize(
    "body", [{}, {"type": "no_such"}, {"type": "echo", "priority": 4}, {"type": "echo", "payload": "x"}, [], 1]
)
def test_what_is_no_task_is_refused(api: Api, body: Any) -> None:
    assert api.post("/api/v1/tasks", body).status_code == 400
