"""A pause of the whole platform's queue, asked for over HTTP while it works, and kept over the death of everything."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from tests.jobs.handlers.platform import Platform
from tests.servers import RunningStack, running_stack
from tests.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAUSE = "/api/v1/pauses/queue/medium"


def _ask(stack: RunningStack, question: str, *values: Any) -> Any:
    with psycopg.connect(stack.addresses.postgres_url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(question, values).fetchone()
    assert row is not None
    return row[0]


def _platform(stack: RunningStack) -> Platform:
    assert stack.addresses.api
    return Platform(stack.addresses.api)


# When its handler began, rather than when it was claimed; a little too late, if at all.
_BEGAN = "finished_at - seconds * interval '1 second'"
_OF_MEDIUM = "jobs_attempt WHERE job_id IN (SELECT id FROM jobs_job WHERE priority = 1)"


def test_a_paused_queue_starts_nothing_after_a_second_though_everything_is_killed_and_started_again(
    tmp_path: Path, capsys: Any
) -> None:
    """Prints when the last job began after the pause, and the first after its end."""
    data = ("--data-dir", str(tmp_path / "data"), "--port", "0")
    with running_stack(*data) as stack:
        platform = _platform(stack)
        one = {"kind": "echo", "payload": {"sleep": 0.02}, "priority": "medium"}
        requests.post(f"{platform.root}/api/v1/jobs/bulk", json={"jobs": [one] * 1000}, timeout=30).raise_for_status()
        eventually(lambda: _ask(stack, f"SELECT count(*) > 200 FROM {_OF_MEDIUM}"))
        answer = requests.put(platform.root + PAUSE, json={"reason": "trouble at the bank"}, timeout=10)
        since = datetime.fromisoformat(answer.json()["since"])
        eventually(lambda: _ask(stack, "SELECT count(*) = 0 FROM jobs_job WHERE state = 'running'"))
        done = _ask(stack, f"SELECT count(*) FROM {_OF_MEDIUM}")
        assert done < 1000
        family = stack.family
        stack.process.kill()
        psutil.wait_procs(family, timeout=PATIENCE)

    with running_stack(*data) as stack:
        platform = _platform(stack)
        echo = platform.submit("echo", priority="low")  # others are served
        assert platform.end_of(echo)["state"] == "completed"
        (pause,) = platform.get("/api/v1/pauses").json()["pauses"]
        assert (pause["target"], pause["reason"]) == ("medium", "trouble at the bank")
        assert _ask(stack, f"SELECT count(*) FROM {_OF_MEDIUM}") == done
        assert _ask(stack, "SELECT count(*) FROM jobs_job WHERE priority = 1 AND state = 'queued'") == 1000 - done
        last = _ask(stack, f"SELECT extract(epoch FROM max({_BEGAN}) - %s) FROM {_OF_MEDIUM}", since)

        resumed = _ask(stack, "SELECT now()")
        requests.delete(platform.root + PAUSE, timeout=10).raise_for_status()
        waiting = "SELECT count(*) FROM jobs_job WHERE priority = 1 AND state <> 'completed'"
        eventually(lambda: _ask(stack, waiting) == 0)
        first = f"SELECT extract(epoch FROM min(started_at) - %s) FROM {_OF_MEDIUM} AND started_at > %s"
        until_first = _ask(stack, first, resumed, resumed)
    with capsys.disabled():
        sys.stdout.write(
            f"\nthe last job began {float(last):.2f} s after the pause (negative: before it), "
            f"the first {float(until_first):.2f} s after its end; {done} of 1,000 had run before\n"
        )
    assert last <= 1
    assert until_first <= 1
