"""Politeness: what an origin bears is learnt once and kept by every fetch of the process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from downloads.engine import LocalGate
from tests.downloads.engine.conftest import Client
from tests.origins.files import content
from tests.origins.misbehaving import RATE, TwoConnections

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN, OTHER = ("http", "a.example", 80), ("http", "b.example", 80)


def test_a_learnt_limit_holds_for_its_origin_and_no_other() -> None:
    gate = LocalGate()
    gate.learn(ORIGIN, limit=2)
    assert [gate.enter(ORIGIN) for _ in range(3)] == [True, True, False]
    assert gate.enter(OTHER)
    gate.leave(ORIGIN)
    assert gate.enter(ORIGIN)


def test_a_gate_that_was_asked_for_peace_lets_nobody_in() -> None:
    gate = LocalGate()
    gate.learn(ORIGIN, wait=60.0)
    assert not gate.enter(ORIGIN)
    assert gate.enter(OTHER)


def test_a_gate_counts_rightly_under_many_threads() -> None:
    gate = LocalGate()
    gate.learn(ORIGIN, limit=5)
    inside, most, lock = [0], [0], threading.Lock()

    def visit(_: int) -> None:
        if gate.enter(ORIGIN):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 1
            gate.leave(ORIGIN)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, range(2000)))
    assert most[0] <= 5
    assert [gate.enter(ORIGIN) for _ in range(6)].count(True) == 5


def test_many_fetches_from_origins_with_limits_all_end_and_are_rarely_turned_away(tmp_path: Path) -> None:
    origins = [TwoConnections(content(400_000, seed), rate=RATE) for seed in range(3)]
    gate = LocalGate()
    for origin in origins:
        # What the first refusal would teach.
        gate.learn(("http", "127.0.0.1", origin.port), limit=2)
    clients = [Client(tmp_path / f"{number}.part") for number in range(24)]

    def one(number: int) -> bool:
        origin, client = origins[number % len(origins)], clients[number]
        client.gate = gate
        client.fetch(origin.url(), connections=4)
        return client.part.read_bytes() == origin.data

    for origin in origins:
        origin.__enter__()
    try:
        with ThreadPoolExecutor(24) as pool:
            assert all(pool.map(one, range(24)))
    finally:
        for origin in origins:
            origin.__exit__()
    assert [origin.most_active for origin in origins] <= [2, 2, 2]
    # A connection that has just been closed here may still be counted there.
    assert sum(origin.turned_away for origin in origins) <= 24
