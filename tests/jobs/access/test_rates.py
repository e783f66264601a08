from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import lifecycle
from jobs.access import rates, tokens
from jobs.access.rates import Allowance, TooManyJobs, TooManyRequests, spend
from jobs.access.roles import Role
from jobs.models import Job
from tests.jobs.access.callers import user_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


def test_a_quota_lets_so_many_through_and_then_says_how_long_to_wait() -> None:
    allowance = Allowance("someone", requests=5)
    left = [spend(allowance, requests=1) for _ in range(5)]

    assert [one.requests for one in left if one] == [4, 3, 2, 1, 0]
    with pytest.raises(TooManyRequests) as refused:
        spend(allowance, requests=1)
    assert 0 < refused.value.wait <= rates.WINDOW / 5
    assert spend(Allowance("someone else", requests=5), requests=1)


def test_the_quota_holds_for_many_at_once() -> None:
    """As over several web processes: the count is Redis's, and none of them keeps one."""
    allowance, passed = Allowance("crowd", requests=50), Counter[bool]()

    def ask() -> None:
        for _ in range(20):
            try:
                spend(allowance, requests=1)
                passed[True] += 1
            except TooManyRequests:
                passed[False] += 1

    crowd = [threading.Thread(target=ask) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()

    assert passed[True] + passed[False] == 160
    assert 50 <= passed[True] <= 55  # the bucket drains a little while they ask


def test_unfinished_jobs_are_counted_over_all_tokens_and_what_ended_makes_room(redis_client: redis.Redis) -> None:
    ada = user_in(Role.SUBMITTER, name="ada")
    jobs = [lifecycle.submit("echo", owner=ada) for _ in range(3)]
    allowance = Allowance("ada", requests=0, owner=ada.pk, jobs=5)
    spend(allowance, jobs=2)
    with pytest.raises(TooManyJobs, match="5 jobs"):
        spend(allowance, jobs=1)

    lifecycle.cancel([job.id for job in jobs])
    redis_client.flushall()  # as after the seconds for which a count is built upon
    spend(allowance, jobs=5)
    with pytest.raises(TooManyJobs):
        spend(allowance, jobs=1)


def test_who_may_not_submit_more_jobs_is_told_even_if_none_was_counted_before() -> None:
    ada = user_in(Role.SUBMITTER, name="ada")
    lifecycle.submit("echo", owner=ada)
    with pytest.raises(TooManyJobs):
        spend(Allowance("ada", requests=0, owner=ada.pk, jobs=1), jobs=1)


def test_without_redis_nobody_is_stopped_and_nobody_waits_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(rates, "_away", rates._Away())
    rates._script.cache_clear()
    try:
        assert spend(Allowance("someone", requests=1), requests=1) is None
        assert time.monotonic() < rates._away.until
        assert spend(Allowance("someone", requests=1), requests=1) is None
    finally:
        rates._script.cache_clear()


# --- at the door -----------------------------------------------------------------------------------------------------


def test_every_answer_says_how_much_is_left_and_429_when_to_come_back(client: Client) -> None:
    _, secret = tokens.create(user_in(Role.SUBMITTER), "slow", requests_per_minute=2)
    headers = {"Authorization": f"Bearer {secret}"}
    first, second, third = (client.get("/api/v1/kinds", headers=headers) for _ in range(3))

    assert first["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert first["RateLimit"].startswith('"requests";r=1;t=')
    assert second["RateLimit"].startswith('"requests";r=0;t=')
    assert (third.status_code, third.json()["type"]) == (429, "/problems/too-many")
    assert 1 <= int(third["Retry-After"]) <= 31
    assert third["RateLimit"].startswith('"requests";r=0;t=')


def test_a_backlog_that_is_full_refuses_single_jobs_and_bulks_and_writes_nothing(client: Client) -> None:
    _, secret = tokens.create(user_in(Role.SUBMITTER), "small", backlog=3)
    headers = {"Authorization": f"Bearer {secret}"}

    def submit(path: str, body: object) -> int:
        return client.post(path, body, "application/json", headers=headers).status_code

    assert submit("/api/v1/jobs", {"kind": "echo"}) == 202
    assert submit("/api/v1/jobs/bulk", {"jobs": [{"kind": "echo"}] * 3}) == 429
    assert Job.objects.count() == 1
    rates._script().registered_client.flushall()
    assert submit("/api/v1/jobs/bulk", {"jobs": [{"kind": "echo"}] * 2}) == 202
    assert submit("/api/v1/downloads", [{"url": "https://example.org/a"}]) == 429
    assert submit("/api/v1/jobs", {"kind": "echo"}) == 429
    assert submit("/task", {"type": "echo"}) == 429
    assert Job.objects.count() == 3


def test_whoever_is_at_this_machine_has_no_limit(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK, settings.REQUESTS_PER_MINUTE = True, 1
    answers = [client.get("/api/v1/kinds") for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0]
