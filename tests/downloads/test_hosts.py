"""Connections per origin over all downloads and workers: counted by the servers, given back by the dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import requests
from pytest_django import Settings

from downloads.hosts import FleetGate
from downloads.hosts import gate as fleet
from downloads.places import Places
from jobs import lifecycle
from jobs.kinds import Snooze
from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import Exchange, FileOrigin
from tests.origins.files import content
from tests.origins.misbehaving import TwoConnections, TwoConnectionsTooMany
from tests.servers import running_stack
from tests.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]
ORIGIN = ("http", "origin.test", 80)
ESTABLISHED = 1  # the first byte of TCP_INFO, in the words of Linux


@pytest.fixture
def new_gate(redis_client: redis.Redis) -> Iterator[Callable[[], FleetGate]]:
    """Makes gates that know nothing of each other, as those of other processes. Redis is empty before."""
    made: list[FleetGate] = []

    def make() -> FleetGate:
        made.append(FleetGate())
        return made[-1]

    yield make
    for gate in made:
        for origin, places in list(gate._held.items()):
            for _ in list(places):
                gate.leave(origin)


@pytest.fixture
def gate(new_gate: Callable[[], FleetGate]) -> FleetGate:
    return new_gate()


@pytest.fixture
def limited(settings: Settings) -> None:
    settings.DOWNLOAD_HOST_LIMITS = {"origin.test": 2}


@pytest.mark.usefixtures("limited")
def test_processes_share_the_places_of_an_origin(gate: FleetGate, new_gate: Callable[[], FleetGate]) -> None:
    other = new_gate()
    assert gate.enter(ORIGIN)
    assert other.enter(ORIGIN)
    assert not gate.enter(ORIGIN)
    assert gate.enter(("http", "elsewhere.test", 80))
    other.leave(ORIGIN)
    assert eventually(lambda: gate.enter(ORIGIN))


def test_a_limit_may_be_meant_for_one_port(gate: FleetGate, settings: Settings) -> None:
    settings.DOWNLOAD_HOST_LIMITS = {"origin.test:80": 1, "origin.test": 3}
    assert [gate.enter(ORIGIN) for _ in range(2)] == [True, False]
    assert [gate.enter(("https", "origin.test", 443)) for _ in range(4)] == [True, True, True, False]


def test_what_one_learns_holds_for_all(gate: FleetGate, new_gate: Callable[[], FleetGate]) -> None:
    other = new_gate()
    assert [gate.enter(ORIGIN) for _ in range(5)] == [True] * 5
    gate.learn(ORIGIN, limit=1)  # that download had one that was served; the fleet had four
    gate.leave(ORIGIN)
    assert not other.enter(ORIGIN)
    gate.leave(ORIGIN)
    assert eventually(lambda: other.enter(ORIGIN))


def test_an_origin_that_asks_for_peace_is_left_alone_by_all(gate: FleetGate, new_gate: Callable[[], FleetGate]) -> None:
    other = new_gate()
    gate.learn(ORIGIN, wait=30.0)
    gate.learn(ORIGIN, wait=1.0)
    assert not gate.enter(ORIGIN)
    assert not other.enter(ORIGIN)
    assert 20 < other.closed_for(ORIGIN) <= 30
    assert other.free(ORIGIN) == 0


@pytest.mark.usefixtures("limited")
def test_without_redis_each_process_keeps_to_the_limit_by_itself(gate: FleetGate, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    assert [gate.enter(ORIGIN) for _ in range(3)] == [True, True, False]
    gate.leave(ORIGIN)
    assert gate.enter(ORIGIN)


@pytest.mark.usefixtures("limited")
def test_what_was_held_while_redis_was_wiped_is_entered_again(
    gate: FleetGate, new_gate: Callable[[], FleetGate], redis_client: redis.Redis
) -> None:
    assert [gate.enter(ORIGIN) for _ in range(2)] == [True, True]
    redis_client.flushall()
    eventually(lambda: redis_client.zcard("haulway:host:http://origin.test:80:inside") == 2)
    assert not new_gate().enter(ORIGIN)


@pytest.mark.usefixtures("limited")
def test_the_places_of_a_killed_worker_come_back(gate: FleetGate) -> None:
    script = (
        "import django, os, signal; django.setup()\n"
        "from downloads.hosts import gate\n"
        f"assert gate.enter({ORIGIN}) and gate.enter({ORIGIN})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, env=os.environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not gate.enter(ORIGIN)
    assert eventually(lambda: gate.enter(ORIGIN), 30)


@pytest.mark.usefixtures("limited")
def test_who_gets_no_place_stands_in_line_and_is_called_up_in_order(gate: FleetGate, platform: Platform) -> None:
    first, second, urgent, gone = (platform.submit(f"http://origin.test/{n}") for n in range(4))
    inside = [Places(gate, ORIGIN, uuid.uuid4(), 1).__enter__() for _ in range(2)]
    for job_id, urgency in ((gone, 1), (first, 1), (second, 1), (urgent, 3)):
        with pytest.raises(Snooze, match=r"All connections that origin\.test is allowed are in use"):
            Places(gate, ORIGIN, job_id, urgency).__enter__()
    asleep = platform.asleep(first, second, urgent)
    lifecycle.cancel([gone])

    inside[0].__exit__()
    assert asleep() == {first, second}
    inside[1].__exit__()
    assert asleep() == set()  # both places are free, and who was cancelled takes none of them


def test_a_download_of_a_busy_host_gives_its_slot_back_at_no_cost(
    platform: Platform, settings: Settings, new_gate: Callable[[], FleetGate]
) -> None:
    with FileOrigin(b"small") as origin:
        settings.DOWNLOAD_HOST_LIMITS = {f"127.0.0.1:{origin.port}": 1}
        other = new_gate()
        there = ("http", "127.0.0.1", origin.port)
        assert other.enter(there)
        job_id = platform.submit(origin.url())
        waiting = platform.run(job_id)
        assert (waiting.job.state, waiting.job.failures) == (State.SCHEDULED, 0)
        assert "in use" in waiting.job.error
        assert origin.seen == []
        other.leave(there)
        lifecycle.hasten([job_id])
        assert platform.run(job_id).job.state == State.COMPLETED


class Counting(FileOrigin):
    """Counts the connections whose other end is open, as the kernel sees it: no thread can be late with that."""

    def __init__(self, data: bytes, rate: float) -> None:
        super().__init__(data, rate=rate)
        self.most = 0
        self._counting = threading.Lock()

    def serve(self, exchange: Exchange) -> None:
        with self._counting, self._lock:
            self.most = max(self.most, sum(_is_open(one) for one in self._sockets))
        super().serve(exchange)


def _is_open(one: socket.socket) -> bool:
    try:
        return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    except OSError:
        return False


def fetch_from_four_hosts(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, ...], each: int) -> None:
    """Downloads over as many hosts as there are limits, through the whole platform."""
    # The more a host allows, the longer each file takes: so every host has work for about as long as the others.
    origins = [Counting(content(75_000 * limit, seed=limit), rate=300_000.0) for limit in limits]
    rules = ",".join(f"127.0.0.1:{origin.port}={limit}" for origin, limit in zip(origins, limits, strict=True))
    monkeypatch.setenv("DOWNLOAD_HOST_LIMITS", rules)
    for origin in origins:
        origin.__enter__()
    try:
        with running_stack("--ephemeral", "--port", "0") as stack:
            api = f"{stack.addresses.api}/api/v1/downloads"
            # One host after the other, so that those of the narrowest stand before all others.
            wanted = [(origin, n) for origin in origins for n in range(each)]
            bodies = [{"url": origin.url(), "output": f"{origin.port}/{n}", "threads": 1} for origin, n in wanted]
            requests.post(api, json=bodies, timeout=60).raise_for_status()

            def all_done() -> bool:
                states = requests.get(f"{stack.addresses.api}/queue/stats", timeout=30).json()["queue_stats"]
                assert not states["failed"], json.dumps(states)
                return bool(states["completed"] == len(wanted))

            eventually(all_done, 300)
            for origin, n in wanted:
                path = Path(stack.addresses.download_root) / str(origin.port) / str(n)
                assert path.read_bytes() == origin.data
    finally:
        for origin in origins:
            origin.__exit__()
    assert [origin.most for origin in origins] == list(limits)  # never above, and none stood idle


def test_no_host_gets_more_connections_than_it_is_allowed_and_each_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_from_four_hosts(monkeypatch, (1, 2, 3, 4), each=8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_downloads_over_four_hosts_keep_to_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_from_four_hosts(monkeypatch, (2, 4, 8, 16), each=50)


def until_all_are_done(platform: Platform, ids: list[uuid.UUID]) -> None:
    """What the dispatcher and a worker of many threads do, in this process: all that is due runs at once."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        lifecycle.promote()
        rows = [platform.row(job_id) for job_id in ids]
        if all(row.job.state in (State.COMPLETED, State.FAILED) for row in rows):
            return
        with ExitStack() as running:
            for row in rows:
                if row.job.state == State.QUEUED:
                    running.enter_context(platform.running(row.pk))
        time.sleep(0.05)
    raise AssertionError([(row.job.state, row.job.error) for row in rows])


@pytest.mark.parametrize("kind", [TwoConnections, TwoConnectionsTooMany])
def test_downloads_of_a_host_that_turns_some_away_stand_in_line_and_all_end(
    platform: Platform, redis_client: redis.Redis, kind: type[TwoConnections]
) -> None:
    """Nobody told us that it serves two at a time: that is learnt, and costs no download its retries."""
    with kind(content(2_500_000), rate=300_000) as origin:
        ids = [platform.submit(origin.url(), output=str(n), threads=2) for n in range(5)]
        until_all_are_done(platform, ids)
    rows = [platform.row(job_id) for job_id in ids]
    assert [row.job.state for row in rows] == [State.COMPLETED] * 5
    assert [row.job.failures for row in rows] == [0] * 5
    assert redis_client.get(f"haulway:host:http://127.0.0.1:{origin.port}:limit")


def test_a_403_is_final_only_where_nobody_else_is_being_served(platform: Platform) -> None:
    class Forbidding(FileOrigin):
        def serve(self, exchange: Exchange) -> None:
            exchange.head(403, Content_Length=0)

    with Forbidding(b"") as origin:
        there = ("http", "127.0.0.1", origin.port)
        assert fleet.enter(there)
        try:
            unsure = platform.fetch(origin.url())
        finally:
            fleet.leave(there)
        sure = platform.fetch(origin.url())
    assert (unsure.job.state, unsure.job.failures) == (State.RETRYING, 1)
    assert (sure.job.state, sure.job.reason) == (State.FAILED, "gave_up")
