"""`?wait=` on a job, ETags for those who poll, and the id that every request has."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from jobs import lifecycle
from jobs.api import request_ids, waiting
from project.local.datadir import Addresses
from tests.servers import running_stack


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def submitted(api: str, **payload: object) -> str:
    answer = requests.post(f"{api}/api/v1/jobs", json={"kind": "echo", "payload": payload}, timeout=30)
    return str(answer.json()["id"])


def test_who_waits_for_a_job_is_answered_when_it_has_finished(stack: Addresses) -> None:
    assert stack.api
    job_id = submitted(stack.api, sleep=1)
    body = requests.get(f"{stack.api}/api/v1/jobs/{job_id}", params={"wait": 30}, timeout=40).json()
    assert (body["state"], len(body["attempts"])) == ("completed", 1)


def test_who_waits_in_vain_gets_the_job_as_it_is(stack: Addresses) -> None:
    assert stack.api
    run_at = {"kind": "echo", "run_at": "2031-01-01T00:00:00Z"}
    job_id = requests.post(f"{stack.api}/api/v1/jobs", json=run_at, timeout=30).json()["id"]
    answer = requests.get(f"{stack.api}/api/v1/jobs/{job_id}", params={"wait": 0.5}, timeout=40)
    assert (answer.status_code, answer.json()["state"]) == (200, "scheduled")
    again = requests.get(
        f"{stack.api}/api/v1/jobs/{job_id}",
        params={"wait": 0.5},
        headers={"If-None-Match": answer.headers["ETag"]},
        timeout=40,
    )
    assert (again.status_code, again.content) == (304, b"")


def test_more_may_wait_than_there_are_connections_to_the_database(stack: Addresses) -> None:
    """A process has ten of them."""
    assert stack.api
    job_id = submitted(stack.api, sleep=4)
    address = f"{stack.api}/api/v1/jobs/{job_id}"
    with ThreadPoolExecutor(40) as crowd:
        waiting_for_it = [crowd.submit(requests.get, address, params={"wait": 60}, timeout=70) for _ in range(40)]
        while not any(future.done() for future in waiting_for_it):
            assert requests.get(address, timeout=5).status_code == 200  # others are answered meanwhile
            time.sleep(0.1)
        assert {future.result().json()["state"] for future in waiting_for_it} == {"completed"}


@pytest.mark.django_db
@pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan", "inf", ""])
def test_a_wait_that_makes_no_sense_is_refused(client: Client, wait: str) -> None:
    job = lifecycle.submit("echo", {})
    answer = client.get(f"/api/v1/jobs/{job.id}", {"wait": wait})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/wait")


@pytest.mark.django_db
def test_nobody_waits_for_a_job_that_is_not_there(client: Client) -> None:
    missing = "01900000-0000-7000-8000-000000000000"
    assert client.get(f"/api/v1/jobs/{missing}", {"wait": "30"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_crowd_beyond_the_bound_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_MOST_WAITING", 1)
    monkeypatch.setattr(waiting, "_LOOK_EVERY", 0.01)
    job, watch = lifecycle.submit("echo", {}), waiting.Watch()
    first = watch.add(job.id)
    assert first is not None
    assert watch.add(job.id) is None
    lifecycle.cancel([job.id])
    first.result(timeout=30)
    assert watch.add(job.id) is not None


def test_a_server_that_is_told_to_stop_lets_those_who_wait_go() -> None:
    with running_stack("--ephemeral", "--port", "0") as platform:
        api = platform.addresses.api
        assert api
        job_id = submitted(api, sleep=600)
        answers: list[requests.Response] = []

        def wait() -> None:
            answers.append(requests.get(f"{api}/api/v1/jobs/{job_id}", params={"wait": 60}, timeout=70))

        waiter = threading.Thread(target=wait)
        waiter.start()
        while requests.get(f"{api}/api/v1/jobs/{job_id}", timeout=30).json()["state"] != "running":
            time.sleep(0.05)
        platform.named("uvicorn").send_signal(signal.SIGTERM)
        waiter.join(30)
    assert [answer.json()["state"] for answer in answers] == ["running"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/jobs/{id}", "/api/v1/jobs"])
def test_who_has_seen_the_latest_version_is_told_so_until_it_changes(client: Client, path: str) -> None:
    job = lifecycle.submit("echo", {})
    path = path.format(id=job.id)
    etag = client.get(path)["ETag"]
    unchanged = client.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", etag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_every_change_of_a_job_is_a_new_version(client: Client) -> None:
    job = lifecycle.submit("echo", {})
    seen = set()
    for verb in ("pause", "resume", "cancel", "retry"):
        client.post(f"/api/v1/jobs/{job.id}/{verb}", content_type="application/json")
        seen.add(client.get(f"/api/v1/jobs/{job.id}")["ETag"])
        seen.add(client.get("/api/v1/jobs")["ETag"])
    assert len(seen) == 8


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("x" * 129, False), ("a b", False), ("a\u2028b", False), ("", False)]
)
def test_a_request_keeps_its_callers_id_if_that_is_a_sane_one(client: Client, given: str, *, kept: bool) -> None:
    answer = client.get("/api/v1/jobs?colour=red", headers={"X-Request-ID": given})
    own = answer["X-Request-ID"]
    assert (own == given) is kept
    assert len(own) == 32 or kept
    assert answer.json()["request_id"] == own


@pytest.mark.django_db
def test_a_path_that_is_not_there_is_a_problem_with_the_id_of_its_request(client: Client) -> None:
    answer = client.get("/nowhere")
    assert answer.json()["request_id"] == answer["X-Request-ID"]


def test_requests_that_are_answered_side_by_side_keep_their_ids_apart() -> None:
    both_are_in = threading.Barrier(2, timeout=30)
    seen: dict[str, str] = {}

    def slow(request: HttpRequest) -> HttpResponse:
        both_are_in.wait()
        seen[request.META["HTTP_X_REQUEST_ID"]] = request_ids.current()
        return HttpResponse()

    answer = request_ids.request_ids(slow)
    asked = [RequestFactory().get("/", headers={"X-Request-ID": name}) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(answer, asked))
    assert [answer["X-Request-ID"] for answer in answers] == ["one", "two"]
    assert seen == {"one": "one", "two": "two"}
    assert request_ids.current() == ""
