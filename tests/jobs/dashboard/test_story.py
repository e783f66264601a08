from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.dashboard import story
from jobs.models import Attempt, Job, State
from tests.jobs.states import as_stored, job_in

TRACEBACK = """Traceback (most recent call last):
  File "/srv/haulway/jobs/attempt.py", line 52, in _outcome
    return self._call_handler(job)
  File "/srv/shop/handlers.py", line 12, in send_invoice
    total = add(payload.lines)
            ^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/decoder.py", line 337, in decode
    raise ValueError
  File "/srv/haulway/.venv/lib/python3.11/site-packages/requests/api.py", line 3, in get
    return 1
ValueError: no
"""


def test_a_traceback_shows_which_calls_are_the_handlers_own() -> None:
    frames = story.frames(TRACEBACK)

    assert [frame.name for frame in frames] == ["_outcome", "send_invoice", "decode", "get"]
    assert [(frame.line, frame.code) for frame in frames if frame.theirs] == [(12, "total = add(payload.lines)")]
    assert frames[1].place == "srv/shop/handlers.py"


def test_text_that_is_no_traceback_has_no_frames() -> None:
    assert story.frames("") == story.frames("killed by signal 9\n") == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.SCHEDULED, ["Submitted", "Due"]),
        (State.QUEUED, ["Submitted", "Ready, waits for a worker"]),
        (State.PAUSED, ["Submitted", "Paused"]),
        (State.RUNNING, ["Submitted", "Attempt 1"]),
        (State.RETRYING, ["Submitted", "Attempt 1", "failed", "Next attempt"]),
        (State.COMPLETED, ["Submitted", "Attempt 1", "Completed"]),
        (State.FAILED, ["Submitted", "Attempt 1", "Failed"]),
        (State.CANCELLED, ["Submitted", "Attempt 1", "Cancelled"]),
    ],
)
def test_a_story_goes_from_submission_to_where_the_job_is_now(state: State, words: list[str]) -> None:
    job = as_stored(job_in(state))

    told = story.stations(job, list(job.attempts.order_by("number")))

    assert [station.word for station in told] == words


def test_a_story_says_how_long_each_part_of_it_took() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    end = at + timedelta(seconds=9)
    job = Job(kind="echo", state=State.COMPLETED, attempt=2, created_at=at, finished_at=end)
    attempts = [
        Attempt(
            number=1, outcome="failed", started_at=at + timedelta(seconds=1), finished_at=at + timedelta(seconds=3)
        ),
        Attempt(number=2, outcome="completed", started_at=at + timedelta(seconds=7), finished_at=end),
    ]

    told = [(one.word, one.lasted and one.lasted.seconds) for one in story.stations(job, attempts)]

    assert told == [("Submitted", 1), ("Attempt 1", 2), ("failed", 4), ("Attempt 2", 2), ("Completed", None)]
