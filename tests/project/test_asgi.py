"""How requests share the threads of a web process."""

from __future__ import annotations

import threading
import time

import psycopg
import requests

from project.local.datadir import Addresses
from tests.browser.scene import wait_for
from tests.web import Web, running_web

PATIENCE = 30.0


def waiting_for_a_lock(stack: Addresses, web: Web) -> int:
    question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(stack.postgres_url, sslmode="disable") as ours:
        found = ours.execute(question, [web.name]).fetchone()
    assert found
    return int(found[0])


def test_probes_are_answered_while_every_thread_is_held_up(stack: Addresses) -> None:
    with running_web(stack, WEB_THREADS="1") as web, psycopg.connect(stack.postgres_url, sslmode="disable") as ours:
        ours.execute("LOCK TABLE jobs_gate IN ACCESS EXCLUSIVE MODE")
        held = threading.Thread(target=requests.get, args=[f"{web.root}/api/v1/pauses"], kwargs={"timeout": PATIENCE})
        held.start()
        wait_for(lambda: waiting_for_a_lock(stack, web))

        assert requests.get(f"{web.root}/livez", timeout=PATIENCE).json() == {"status": "alive"}
        assert requests.get(f"{web.root}/readyz", timeout=PATIENCE).json() == {"status": "ready"}

        ours.rollback()
        held.join(PATIENCE)
    assert not held.is_alive()


def test_who_waits_for_a_job_holds_no_thread(stack: Addresses) -> None:
    with running_web(stack, WEB_THREADS="1") as web:
        later = {"kind": "echo", "run_at": "2031-01-01T00:00:00Z"}
        job = requests.post(f"{web.root}/api/v1/jobs", json=later, timeout=PATIENCE).json()["id"]
        states: list[str] = []

        def wait() -> None:
            answer = requests.get(f"{web.root}/api/v1/jobs/{job}?wait=60", timeout=70)
            states.append(answer.json()["state"])

        waiter = threading.Thread(target=wait)
        waiter.start()
        while waiter.is_alive():  # one thread answers the one who waits, and those who end the wait
            requests.post(f"{web.root}/api/v1/jobs/{job}/cancel", timeout=PATIENCE)
            time.sleep(0.05)
        assert states == ["cancelled"]


def test_what_a_request_was_about_is_not_known_to_the_next(stack: Addresses) -> None:
    with running_web(stack, WEB_THREADS="1") as web:
        ids = [requests.get(f"{web.root}/nowhere", timeout=PATIENCE).json()["request_id"] for _ in range(3)]
    assert len(set(ids)) == 3
