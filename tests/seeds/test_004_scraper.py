"""Seed 004, the scraper's queue: its requests as printed, priorities, statistics and dead letters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.origins import Exchange, Origin
from tests.seeds.conftest import Api

PRODUCT = b"""<!doctype html><title>A book</title><script type="application/ld+json">
{"@context": "https://schema.org", "@type": "Product", "name": "A book",
 "offers": {"@type": "Offer", "price": "3.99", "priceCurrency": "GBP"}}</script>"""


def shop(exchange: Exchange) -> None:
    """One product; everything else, robots.txt too, is not there."""
    there = exchange.target == "/product/123"
    body = PRODUCT if there else b""
    exchange.head(200 if there else 404, Content_Type="text/html; charset=utf-8", Content_Length=len(body))
    exchange.raw(body)


def added(api: Api, target_url: str, **changes: Any) -> str:
    """The id of a job that was added as printed."""
    body = {"type": "product", "target_url": target_url, "priority": 5, "metadata": {"category": "books"}}
    answer = api.post("/api/queue/jobs", body | changes)
    assert answer.status_code == 201, answer.text
    accepted = answer.json()
    assert accepted == {"success": True, "data": {"jobId": accepted["data"]["jobId"]}}
    return str(accepted["data"]["jobId"])


def test_the_printed_job_is_added_and_its_result_counts_items_errors_and_duration(api: Api) -> None:
    with Origin(shop) as origin:
        job = api.ended(added(api, origin.url("/product/123")))
    assert (job["kind"], job["state"], job["metadata"]["category"]) == ("scrape_product", "completed", "books")
    result = job["result"]
    assert (result["success"], result["itemsProcessed"], result["errors"]) == (True, 1, [])
    assert result["duration"] >= 0
    assert (result["items"][0]["name"], str(result["items"][0]["price"])) == ("A book", "3.99")


@pytest.mark.parametrize(("priority", "queue"), [(10, "critical"), (8, "high"), (5, "medium"), (1, "low")])
def test_priorities_from_1_to_10_are_places_in_the_four_queues(api: Api, priority: int, queue: str) -> None:
    with Origin(shop) as origin:
        job = api.ended(added(api, origin.url("/product/123"), priority=priority))
    assert job["priority"] == queue


def test_statistics_have_the_printed_shape(api: Api) -> None:
    body = api.get("/api/queue/stats")
    assert set(body) == {"success", "data"}
    assert set(body["data"]["queue"]) == {"queued", "running", "completed", "failed"}
    assert body["data"]["health"]["isRunning"] is True
    assert body["data"]["health"]["redisConnected"] is True
    assert body["data"]["health"]["activeWorkers"] == 2
    assert body["data"]["status"] == "healthy"


def test_a_dead_letter_is_listed_and_requeued_by_its_index(api: Api) -> None:
    with Origin(shop) as origin:
        job_id = added(api, origin.url("/gone"))
        assert api.ended(job_id)["state"] == "failed"
        listed = api.get("/api/queue/dead-letter", params={"limit": 1000})
        assert listed["success"]
        assert listed["count"] == len(listed["data"])
        index = [letter["id"] for letter in listed["data"]].index(job_id)
        letter = listed["data"][index]
        assert set(letter) == {"id", "type", "target_url", "attempts", "max_attempts", "last_error"}
        assert (letter["type"], letter["target_url"]) == ("product", origin.url("/gone"))
        requeued = api.post("/api/queue/dead-letter/requeue", {"index": index})
        assert requeued.json() == {"success": True, "data": {"id": job_id}}
        again = api.ended(job_id)
    assert len(again["attempts"]) > letter["attempts"] - 1
    assert api.post("/api/queue/dead-letter/requeue", {"index": 1000}).status_code == 404


@pytest.mark.parametrize(
    "change", [{"type": "page"}, {"target_url": "file:///etc/passwd"}, {"priority": 11}, {"priority": "x"}]
)
def test_what_is_no_scrape_job_is_refused(api: Api, change: dict[str, Any]) -> None:
    body = {"type": "product", "target_url": "https://example.com/product/123", "priority": 5} | change
    assert api.post("/api/queue/jobs", body).status_code == 400
