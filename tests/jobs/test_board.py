from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from jobs.board import CANCEL, LEASE_LOST, Board, Running

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, slots=3)


def test_the_node_sees_what_a_slot_runs_and_when_it_must_end(board: Board) -> None:
    lease, job = uuid.uuid4(), uuid.uuid4()
    assert board.running() == []

    with board.slot() as slot:
        slot.hold(lease)
        assert board.running() == [Running(os.getpid(), 0, lease, None, 0.0)]
        slot.start(job, 12.5)
        assert board.running() == [Running(os.getpid(), 0, lease, job, 12.5)]
        slot.limit(99.0)
        assert board.running()[0].kill_at == 99.0
        slot.stop()
        assert board.running() == [Running(os.getpid(), 0, lease, None, 0.0)]

    assert board.running() == []


def test_each_thread_has_a_slot_of_its_own(board: Board) -> None:
    leases = [uuid.uuid4() for _ in range(3)]
    all_hold, seen = threading.Barrier(4, timeout=10), threading.Barrier(4, timeout=10)

    def work(lease: uuid.UUID) -> None:
        with board.slot() as slot:
            slot.hold(lease)
            all_hold.wait()
            seen.wait()

    threads = [threading.Thread(target=work, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    all_hold.wait()
    running = board.running()
    seen.wait()
    for thread in threads:
        thread.join()

    assert {entry.lease for entry in running} == set(leases)
    assert {entry.slot for entry in running} == {0, 1, 2}
    assert board.running() == []


def test_what_is_asked_reaches_the_job_that_is_meant(board: Board) -> None:
    with board.slot() as slot:
        slot.hold(uuid.uuid4())
        slot.start(uuid.uuid4(), 0.0)
        assert slot.asked() == 0
        (entry,) = board.running()
        board.ask(entry, CANCEL)
        assert slot.asked() == CANCEL
        board.ask(entry, LEASE_LOST)
        assert slot.asked() == LEASE_LOST


def test_what_is_asked_of_a_job_is_not_taken_by_the_next_one(board: Board) -> None:
    with board.slot() as slot:
        slot.hold(uuid.uuid4())
        slot.start(uuid.uuid4(), 0.0)
        (entry,) = board.running()
        slot.stop()
        slot.start(uuid.uuid4(), 0.0)

        board.ask(entry, CANCEL)

        assert slot.asked() == 0


def test_a_slot_is_free_again_after_an_error(board: Board) -> None:
    for _ in range(10):
        with pytest.raises(RuntimeError, match="in the slot"), board.slot():
            raise RuntimeError("in the slot")

    assert board.running() == []


DIE_AT_WORK = """
import os, sys, uuid
from pathlib import Path
from jobs.board import Board
board = Board(Path(sys.argv[1]), slots=3)
with board.slot() as slot:
    slot.hold(uuid.UUID(int=1))
    slot.start(uuid.UUID(int=2), 5.0)
    os.abort()
"""


def test_after_a_crash_the_node_still_sees_what_was_running(board: Board, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", DIE_AT_WORK, str(tmp_path)], cwd=PROJECT)
    assert process.wait(30) < 0

    assert board.pids() == [process.pid]
    assert board.running() == [Running(process.pid, 0, uuid.UUID(int=1), uuid.UUID(int=2), 5.0)]
    board.forget(process.pid)
    assert board.pids() == []
    board.forget(process.pid)


def test_a_drain_is_seen_at_once_and_handlers_stop_at_its_time(board: Board, tmp_path: Path) -> None:
    elsewhere = Board(tmp_path, slots=3)

    def seen() -> tuple[bool, bool]:
        return elsewhere.draining, elsewhere.handlers_must_stop

    assert seen() == (False, False)
    board.drain(time.monotonic() + 3600)
    assert seen() == (True, False)
    board.drain(time.monotonic() - 1)
    assert seen() == (True, True)
