from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from jobs import doorbell
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("redis_client")


def heard() -> bool:
    return any(doorbell.wait(0.9) for _ in range(20))


def test_a_ring_is_heard_once() -> None:
    doorbell.ring()

    assert heard()
    assert not doorbell.wait(0)


def test_any_number_of_rings_is_one(redis_client: redis.Redis) -> None:
    for _ in range(100):
        doorbell.ring()

    eventually(lambda: redis_client.llen(doorbell.KEY))
    assert redis_client.llen(doorbell.KEY) == 1


def test_a_free_place_is_heard_by_who_listens_for_it_and_keeps_until_then(redis_client: redis.Redis) -> None:
    doorbell.ring(doorbell.PLACES)
    doorbell.ring(doorbell.PLACES)
    eventually(lambda: redis_client.llen(doorbell.PLACES))

    assert not doorbell.wait(0.05)
    assert doorbell.wait(0.9, doorbell.PLACES)
    assert not doorbell.wait(0)


def test_silence_ends_the_wait() -> None:
    assert not doorbell.wait(0.05)


def test_a_ring_wakes_who_waits() -> None:
    later = threading.Timer(0.1, doorbell.ring)
    later.start()

    assert heard()
    later.join()


def test_a_process_forked_while_a_thread_of_its_parent_rings_can_ring(redis_client: redis.Redis) -> None:
    with doorbell._starting, doorbell._asked._cond:  # type: ignore[attr-defined]
        child = os.fork()
        if not child:
            signal.alarm(30)  # ends it by a signal where it hangs
            doorbell.ring()
            eventually(lambda: redis_client.llen(doorbell.KEY))
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def dead_redis(redis_client: redis.Redis, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as taken:  # bound and not listening: connections to it are refused
        taken.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        monkeypatch.setattr(doorbell, "_client", None)
        yield
        doorbell._asked.clear()  # nothing is left to be rung in the tests after this one


@pytest.mark.usefixtures("dead_redis")
def test_a_dead_redis_does_not_trouble_submitters_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            doorbell.ring()
        eventually(lambda: caplog.records)

    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["Redis did not take the wake-up"]


@pytest.mark.usefixtures("dead_redis")
def test_who_waits_is_told_that_redis_is_dead() -> None:
    with pytest.raises(redis.RedisError):
        doorbell.wait(0.1)
