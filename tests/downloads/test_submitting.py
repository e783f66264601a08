"""Lists of downloads, the same URL asked for again, a fresh link in place of one that expired."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from downloads import storage
from downloads.models import Download
from downloads.shapes import DownloadSubmission
from downloads.submitting import submit
from jobs import lifecycle
from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import Exchange, FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

URL = "https://example.org/file"
DATA = content(6_000_000)


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/v1/downloads{path}", body, content_type="application/json")


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_list_gets_an_answer_for_each(client: Client, platform: Platform, wrapped: bool) -> None:
    items = [{"url": URL}, {"url": "ftp://example.org/x"}, {"url": URL, "output": "b"}, "not an object"]
    answer = post(client, "", {"downloads": items} if wrapped else items)
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["refused"]) == (202, 2, 2)
    assert [one["index"] for one in body["results"]] == [0, 1, 2, 3]
    assert body["results"][1]["problem"]["errors"][0]["pointer"] == "/url"
    assert platform.row(body["results"][2]["id"]).output == "b"
    assert Download.objects.count() == 2


def test_a_list_of_nothing_but_faults_is_refused(client: Client, platform: Platform) -> None:
    assert post(client, "", [{"url": 7}]).status_code == 400
    assert post(client, "", []).status_code == 400
    assert post(client, "", {"downloads": [{"url": URL}] * 1001}).status_code == 400
    assert not Download.objects.exists()


def test_the_same_url_is_fetched_once_where_that_is_asked_for(client: Client, platform: Platform) -> None:
    first = post(client, "", {"url": URL})
    again = post(client, "", {"url": URL, "dedupe": True})
    elsewhere = post(client, "", {"url": URL, "dedupe": True, "output": "other"})
    without = post(client, "", {"url": URL})
    assert [one.status_code for one in (first, again, elsewhere, without)] == [202, 200, 202, 202]
    assert again.json()["id"] == first.json()["id"]
    assert again["Location"] == first["Location"]
    assert len({one.json()["id"] for one in (first, elsewhere, without)}) == 3


def test_a_download_that_failed_is_no_reason_not_to_try_again(client: Client, platform: Platform) -> None:
    first = platform.submit(URL)
    lifecycle.cancel([first])
    assert post(client, "", {"url": URL, "dedupe": True}).json()["id"] != str(first)


def test_a_finished_download_serves_those_who_ask_for_it_again(client: Client, platform: Platform) -> None:
    with FileOrigin(b"small") as origin:
        done = platform.fetch(origin.url())
        assert post(client, "", {"url": origin.url(), "dedupe": True}).json()["id"] == str(done.pk)


def test_those_who_ask_at_once_get_the_same_download(platform: Platform) -> None:
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(30)
        found.append(submit(DownloadSubmission(url=URL, dedupe=True), owner=None))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({job_id for job_id, _ in found}) == 1
    assert sorted(new for _, new in found) == [False] * 7 + [True]


# --- links that expire -----------------------------------------------------------------------------------------------


class Expiring(FileOrigin):
    """Answers 403 to the old link once it has sent a third of the file; the fresh link works."""

    expired = False

    def serve(self, exchange: Exchange) -> None:
        if self.expired and exchange.target.startswith("/old"):
            exchange.head(403, Content_Length=0)
        else:
            super().serve(exchange)


def half_fetched(platform: Platform, client: Client, origin: FileOrigin) -> Any:
    job_id = platform.submit(origin.url("/old?signature=1"), output="a.bin")
    with platform.running(job_id):
        eventually(lambda: platform.row(job_id).bytes_done > 1_000_000)
        post(client, f"/{job_id}/pause", {})
    row = platform.row(job_id)
    assert row.job.state == State.PAUSED
    return row


def test_a_fresh_link_goes_on_with_the_bytes_that_are_there(client: Client, platform: Platform) -> None:
    with Expiring(DATA, rate=250_000) as origin:
        row = half_fetched(platform, client, origin)
        origin.expired = True
        post(client, f"/{row.pk}/resume", {})
        assert platform.run(row.pk).job.reason == "gave_up"
        before, origin.rate = origin.sent, 1_000_000
        body = post(client, f"/{row.pk}/refresh", {"url": origin.url("/fresh?signature=2")}).json()
        assert (body["state"], body["url"]) == ("queued", origin.url("/fresh?signature=2"))
        done = platform.run(row.pk)
        assert origin.sent - before < len(DATA) - row.bytes_done + 700_000
    assert done.job.state == State.COMPLETED
    assert (platform.root / "a.bin").read_bytes() == DATA


def test_a_fresh_link_to_another_file_is_refused_and_the_bytes_are_kept(client: Client, platform: Platform) -> None:
    other = FileOrigin(content(6_000_000, seed=9), rate=1_000_000)
    other.etag, other.last_modified = '"another"', "Tue, 03 Nov 2020 10:00:00 GMT"
    with FileOrigin(DATA, rate=250_000) as origin, other:
        row = half_fetched(platform, client, origin)
        post(client, f"/{row.pk}/refresh", {"url": other.url()})
        refused = platform.run(row.pk)
        assert (refused.job.state, refused.job.reason) == (State.FAILED, "gave_up")
        assert "another file" in refused.job.error
        assert refused.checkpoint["pieces"] == row.checkpoint["pieces"]
        before, origin.rate = origin.sent, 1_000_000
        post(client, f"/{row.pk}/refresh", {"url": origin.url("/fresh")})
        assert platform.run(row.pk).job.state == State.COMPLETED
        assert origin.sent - before < len(DATA) - row.bytes_done + 700_000
    assert (platform.root / "a.bin").read_bytes() == DATA
    assert list((platform.root / ".parts").iterdir()) == []


def test_secrets_do_not_follow_a_fresh_link_to_another_origin(client: Client, platform: Platform) -> None:
    with FileOrigin(b"small") as origin:
        job_id = platform.submit("http://127.0.0.1:9/old", headers={"X-Api-Key": "secret"})
        assert post(client, f"/{job_id}/refresh", {"url": origin.url()}).status_code == 200
        assert platform.run(job_id).job.state == State.COMPLETED
        assert "x-api-key" not in origin.seen[0].headers


def test_links_are_refreshed_only_where_that_makes_sense(client: Client, platform: Platform) -> None:
    job_id = platform.submit(URL)
    assert post(client, f"/{job_id}/refresh", {"url": "file:///etc/passwd"}).status_code == 400
    assert post(client, f"/{job_id}/refresh", {}).status_code == 400
    lifecycle.cancel([job_id])
    assert post(client, f"/{job_id}/refresh", {"url": URL}).status_code == 409
    assert not storage.part_file(job_id).exists()


def test_many_downloads_have_a_parent_that_counts_them_and_ends_them_all(client: Client, platform: Platform) -> None:
    with FileOrigin(DATA) as origin:
        jobs = [{"kind": "download", "payload": {"url": origin.url(), "output": name}} for name in ("a", "b", "c")]
        parent = client.post("/api/v1/batches", {"jobs": jobs}, content_type="application/json").json()
        children = list(Download.objects.filter(job__batch_id=parent["id"]).order_by("output"))
        assert [child.output for child in children] == ["a", "b", "c"]
        platform.run(children[0].pk)
        client.post(f"/api/v1/batches/{parent['id']}/cancel", {}, content_type="application/json")
        counts = client.get(f"/api/v1/batches/{parent['id']}").json()["jobs"]
    assert {state: count for state, count in counts.items() if count} == {"completed": 1, "cancelled": 2}
