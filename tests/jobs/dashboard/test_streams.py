"""Streams of events, held open at a real web server of their own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
import requests

from project.local.datadir import Addresses
from tests.web import Web, running_web

POOL = 4
PATIENCE = 30.0
MOST_SECONDS_TO_STOP = 10


def open_stream(web: Web, topic: str = "jobs") -> socket.socket:
    """An open stream, up to where it says that the page should be read once more."""
    opened = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE)
    opened.sendall(f"GET /dashboard/live?topic={topic} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    read_until(opened, b"event: changed\ndata: " + topic.encode())
    return opened


def read_until(opened: socket.socket, words: bytes) -> bytes:
    text = b""
    while words not in text:
        more = opened.recv(65536)
        assert more, f"the stream ended with {text!r}"
        text += more
    return text


@pytest.fixture
def web(stack: Addresses) -> Iterator[Web]:
    with running_web(stack, DATABASE_POOL_SIZE=str(POOL)) as started:
        yield started


def connections(stack: Addresses, web: Web) -> int:
    with psycopg.connect(stack.postgres_url, sslmode="disable") as ours:
        found = ours.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [web.name]).fetchone()
    assert found
    return int(found[0])


def test_a_stream_tells_of_a_change(stack: Addresses, web: Web) -> None:
    with open_stream(web) as opened:
        assert stack.api
        requests.post(f"{stack.api}/api/v1/jobs", json={"kind": "echo"}, timeout=PATIENCE).raise_for_status()

        assert b"event: changed\ndata: jobs" in read_until(opened, b"event: changed\ndata: jobs")


def test_a_stream_of_one_job_tells_of_that_job(stack: Addresses, web: Web) -> None:
    assert stack.api
    later = {"kind": "echo", "run_at": "2031-01-01T00:00:00Z"}
    job = requests.post(f"{stack.api}/api/v1/jobs", json=later, timeout=PATIENCE).json()["id"]
    with open_stream(web, f"job:{job}") as opened:
        requests.post(f"{stack.api}/api/v1/jobs/{job}/cancel", timeout=PATIENCE).raise_for_status()

        read_until(opened, f"event: changed\ndata: job:{job}".encode())


@pytest.mark.parametrize("topic", ["", "secrets", "job:1", "jobs&topic=x"])
def test_a_topic_that_does_not_exist_is_refused(web: Web, topic: str) -> None:
    assert requests.get(f"{web.root}/dashboard/live?topic={topic}", timeout=PATIENCE).status_code == 400


def test_two_hundred_open_streams_hold_no_connection_to_the_database(stack: Addresses, web: Web) -> None:
    with ExitStack() as opened:
        for _ in range(200):
            opened.enter_context(open_stream(web))

        # Were each to hold one, the four that there are would be gone, and no page would be answered.
        assert requests.get(f"{web.root}/dashboard/", timeout=PATIENCE).ok
        assert connections(stack, web) <= POOL


def test_a_web_server_that_is_told_to_stop_does_not_wait_for_open_pages(web: Web) -> None:
    with ExitStack() as opened:
        for _ in range(50):
            opened.enter_context(open_stream(web))
        web.process.terminate()

        web.process.wait(MOST_SECONDS_TO_STOP)
