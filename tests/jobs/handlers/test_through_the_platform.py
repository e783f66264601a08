"""Each kind from end to end: over HTTP, dispatcher and workers, against a real peer."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from PIL import Image

from project.local.datadir import Addresses
from tests.jobs.handlers.platform import Platform
from tests.origins import Exchange, Origin


@pytest.fixture
def platform(stack: Addresses) -> Platform:
    assert stack.api
    return Platform(stack.api)


def _picture() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (400, 200), "red").save(written, "PNG")
    return written.getvalue()


def _answer(exchange: Exchange) -> None:
    content = _picture() if exchange.target == "/image.png" else b'{"hello": "world"}'
    media_type = "image/png" if exchange.target == "/image.png" else "application/json"
    exchange.head(200, Content_Length=len(content), Content_Type=media_type)
    exchange.raw(content)


def test_an_api_is_called_and_a_webhook_sent(platform: Platform) -> None:
    with Origin(_answer) as origin:
        job = platform.done("http_request", api_url=origin.url("/api"), method="POST", body={"n": 1})
        assert job["result"]["body"] == {"hello": "world"}
        job = platform.done("call_webhook", url=origin.url("/hook"), body={"n": 2})
        assert [exchange.body for exchange in origin.seen] == [b'{"n": 1}', b'{"n":2}']
        assert origin.seen[1].headers["webhook-id"] == job["id"]


def test_an_image_is_made_and_served_whole_and_in_parts_and_sent_by_mail(platform: Platform, stack: Addresses) -> None:
    with Origin(_answer) as origin:
        job = platform.done("process_image", image_url=origin.url("/image.png"), operation="thumbnail", width=50)
    (file,) = platform.job(job["id"])["files"]
    whole = platform.get(file["path"])
    assert Image.open(io.BytesIO(whole.content)).size == (50, 25)
    part = platform.get(file["path"], Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    mail = platform.done(
        "send_email", recipient="ada@example.com", subject="Your image", body="Here.",
        attachments=[{"job": job["id"], "file": file["name"]}],
    )  # fmt: skip
    written = "".join(path.read_text() for path in (Path(stack.download_root).parent / "mail").iterdir())
    assert mail["result"]["message_id"] in written
    assert 'filename="image.png"' in written


def test_jobs_are_exported_and_served(platform: Platform) -> None:
    done = platform.done("echo", n=1)
    job = platform.done("export_data", format="jsonl", filters={"kind": ["echo"]})
    (file,) = platform.job(job["id"])["files"]
    content = platform.get(file["path"])
    assert content.headers["Content-Length"] == str(file["bytes"])
    assert done["id"] in content.text


def test_a_call_that_waits_is_cancelled_within_seconds(platform: Platform) -> None:
    with Origin(lambda exchange: exchange.stall()) as origin:
        job_id = platform.submit("http_request", api_url=origin.url())
        ends = time.monotonic() + 30
        while not origin.seen:
            assert time.monotonic() < ends, platform.job(job_id)
            time.sleep(0.05)
        platform.cancel(job_id)
        assert platform.end_of(job_id, 15)["state"] == "cancelled"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_calls_that_take_85_seconds_all_end_and_a_critical_job_starts_at_once(platform: Platform) -> None:
    def slowly(exchange: Exchange) -> None:
        exchange.stopping.wait(85)
        _answer(exchange)

    with Origin(slowly) as origin:
        began = time.monotonic()
        calls = [platform.submit("http_request", api_url=origin.url()) for _ in range(200)]
        starts: list[float] = []
        while len(starts) < 20:
            echo = platform.end_of(platform.submit("echo", priority="critical"))
            starts.append(platform.seconds(echo, "created_at", "started_at"))
            time.sleep(3)
        memory = {
            node["name"]: node["memory_bytes"] // 2**20 for node in platform.get("/workers/stats").json()["workers"]
        }
        ended = [platform.end_of(job_id, 400) for job_id in calls]
    took = time.monotonic() - began
    assert {job["state"] for job in ended} == {"completed"}
    assert {job["attempt"] for job in ended} == {1}
    starts.sort()
    print(  # noqa: T201 - the figures are what it is run for
        f"\n200 calls of 85 s ended in {took:.0f} s, {origin.most_open} at once; a critical job started after "
        f"{starts[10] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (worst of 20); memory in MB: {memory}"
    )
    assert starts[10] < 0.2
