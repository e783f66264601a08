"""Valkey killed, frozen, wiped, and cut off."""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import timedelta

from django.utils import timezone

from tests.chaos import verdict
from tests.chaos.scenario import Play, scenario

_QUEUES = ("critical", "high", "medium", "low")
_AWAY = 5.0  # seconds that Valkey is dead
_SILENT = 20.0  # seconds that it does not answer, longer than every timeout on the way
_REPEATING = 10.0  # seconds
_ENOUGH = 50  # hints, so that the scenario means something


@scenario("Valkey killed and started empty", bound=5, steady=True, short=True)
def valkey_killed(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    play.stage.valkey.kill()
    _let_pass(_AWAY)
    play.load.submit(5)  # submitting goes on while Redis is away
    play.stage.restart_valkey()
    play.until_work_flows()
    play.measure_after()


@scenario("Valkey frozen for 20 s", bound=5, steady=True)
def valkey_frozen(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    play.stage.valkey.freeze()
    _let_pass(_SILENT)
    play.load.submit(5)
    play.stage.valkey.thaw()
    play.until_work_flows()
    play.measure_after()


@scenario("network to Valkey cut for 20 s, connections reset after", bound=5, steady=True)
def valkey_cut_off(play: Play) -> None:
    road = play.stage.road_to_valkey()
    play.open(environment={"REDIS_URL": play.stage.road_url(road)})
    play.warm_up()
    play.measure_before()
    road.silence()
    _let_pass(_SILENT)
    road.restore()
    road.break_connections()
    play.until_work_flows()
    play.measure_after()


@scenario("FLUSHALL with 10,000 queued, 200 running, 1,000 scheduled", bound=10)
def flushall(play: Play) -> None:
    play.open(io_slots=200)
    stage = play.stage
    play.load.submit(200, kind="chaos.wait", seconds=30, deaf=True)
    stage.until(lambda: stage.count("state = 'running' AND lane = 'io'") == 200, 60, "200 jobs run")
    play.load.submit(10_000)
    play.load.submit(1_000, options={"run_at": timezone.now() + timedelta(seconds=15)})
    for worker in play.workers:  # so that the hints lie in Valkey when it is wiped
        worker.freeze()
    stage.until(lambda: _hinted(play), 10, "hints lie in Valkey")
    lost = _hinted(play)
    stage.redis.flushall()
    began = time.monotonic()
    for worker in play.workers:
        worker.thaw()
    queued = stage.count("state = 'queued'")
    play.note(f"{queued} queued when it was wiped, {len(lost)} of them hinted at")
    stage.until(
        lambda: stage.count("id = ANY(%s) AND started_at IS NOT NULL", lost) > 0, 60, "a lost hint is sent again"
    )
    play.recovered(time.monotonic() - began)


@scenario("every hint delivered twice and, much later, a third time", short=True)
def hints_repeated(play: Play) -> None:
    """A broker may do that. What runs or is done must not be taken again because somebody rings for it."""
    play.open()
    play.warm_up()
    stage = play.stage
    repeated: set[str] = set()
    deadline = time.monotonic() + _REPEATING
    while time.monotonic() < deadline:
        for queue in _QUEUES:
            for message in set(stage.redis.lrange(queue, 0, -1)) - repeated:
                repeated.add(message)
                stage.redis.lpush(queue, message)
    play.load.stop()
    stage.until(lambda: verdict.unfinished(stage) == 0, 60, "every job comes to its end")
    stage.redis.rpush("critical", *repeated)
    stage.until(lambda: not stage.redis.llen("critical"), 30, "workers take the hints of finished jobs")
    play.promise(len(repeated) > _ENOUGH, f"hints were caught in the queues ({len(repeated)})")
    play.note(f"{len(repeated)} hints repeated")


def _hinted(play: Play) -> list[uuid.UUID]:
    """Jobs whose hints lie in the queues now."""
    found = []
    for queue in _QUEUES:
        for message in play.stage.redis.lrange(queue, 0, -1):
            found += [uuid.UUID(one) for one in _ids(json.loads(message))]
    return found


def _ids(message: dict[str, str]) -> list[str]:
    """The ids in a Celery message: the first argument of the task."""
    body = json.loads(base64.b64decode(message["body"]))
    return list(body[0][0])


def _let_pass(seconds: float) -> None:
    """The fault lasts so long; there is nothing to wait for."""
    time.sleep(seconds)
