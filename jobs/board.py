"""What the processes of a node are doing right now, in memory that they share: no database, no pipe, no lock.

Each pool process keeps one small file, named by its pid and mapped into memory, with an entry per chunk. The process
writes there what it runs; the node reads it, and writes back that an entry's job shall stop. The file outlives the
process, so after a crash the node still sees exactly which job was running.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

# Written by the process: lease, job, when to be killed (monotonic seconds, 0: never).
_RUNNING = struct.Struct("<16s16sd")
# Written by the node: the job that is meant, and what is asked of it.
_ASKED = struct.Struct("<16sB")
_SIZE = _RUNNING.size + _ASKED.size
_NOTHING = bytes(16)

CANCEL, LEASE_LOST = 1, 2

# That one slot may hold: one that runs or is to follow, and two that are to be recorded.
_CHUNKS_AT_ONCE = 3


@dataclass(frozen=True)
class Running:
    """One entry as the node sees it."""

    pid: int
    slot: int
    lease: uuid.UUID
    job: uuid.UUID | None  # none: between two jobs of a chunk, or at the database
    kill_at: float


class Slot:
    """One entry, in the hands of those who have the chunk."""

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._at = number * _SIZE
        self._lease = _NOTHING
        self._job = _NOTHING
        self.number = number

    def hold(self, lease: uuid.UUID) -> None:
        """Said before the claim is sent, so that no claimed job is ever unaccounted for."""
        self._lease = lease.bytes
        self._write(_NOTHING, 0.0)

    def start(self, job: uuid.UUID, kill_at: float) -> None:
        self._job = job.bytes
        self._write(self._job, kill_at)

    def stop(self) -> None:
        self._job = _NOTHING
        self._write(_NOTHING, 0.0)

    def free(self) -> None:
        self._lease = self._job = _NOTHING
        self._write(_NOTHING, 0.0)

    def limit(self, kill_at: float) -> None:
        """Move the time at which the node kills the process."""
        self._write(self._job, kill_at)

    def asked(self) -> int:
        """What the node asks of the job that runs now: 0, CANCEL or LEASE_LOST."""
        job, what = _ASKED.unpack_from(self._memory, self._at + _RUNNING.size)
        return int(what) if job == self._job else 0

    def _write(self, job: bytes, kill_at: float) -> None:
        _RUNNING.pack_into(self._memory, self._at, self._lease, job, kill_at)


class Board:
    """The directory of those files. Made by the node before its pool forks; children inherit the object."""

    def __init__(self, directory: Path, slots: int) -> None:
        self.directory = directory
        self._entries = slots * _CHUNKS_AT_ONCE
        self._pid = 0
        self._free: list[Slot] = []
        self._lock = threading.Lock()
        # For all: since when the node drains and when handlers must stop, 0 while it does not; the watch's last beat.
        self._drain = self._map(directory / "drain", 24)

    @staticmethod
    def _map(path: Path, size: int) -> mmap.mmap:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != size:
                os.ftruncate(fd, size)
            return mmap.mmap(fd, size)
        finally:
            os.close(fd)

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """An entry for a chunk, from before its claim until all of it is recorded."""
        with self._lock:
            if self._pid != os.getpid():  # first use in this process
                memory = self._map(self.directory / str(os.getpid()), self._entries * _SIZE)
                self._free = [Slot(memory, number) for number in reversed(range(self._entries))]
                self._pid = os.getpid()
            mine = self._free.pop()
        try:
            yield mine
        finally:
            mine.free()
            with self._lock:
                self._free.append(mine)

    # --- the node's side ---------------------------------------------------------------------------------------------

    def running(self) -> list[Running]:
        """Every entry in use, over all processes, dead ones included."""
        found = []
        for pid in self.pids():
            with suppress(FileNotFoundError):
                content = (self.directory / str(pid)).read_bytes()
                for slot in range(len(content) // _SIZE):
                    lease, job, kill_at = _RUNNING.unpack_from(content, slot * _SIZE)
                    if lease != _NOTHING:
                        current = uuid.UUID(bytes=job) if job != _NOTHING else None
                        found.append(Running(pid, slot, uuid.UUID(bytes=lease), current, kill_at))
        return found

    def pids(self) -> list[int]:
        return [int(file.name) for file in self.directory.iterdir() if file.name.isdigit()]

    def ask(self, entry: Running, what: int) -> None:
        """Ask the job of an entry to stop. A job that has moved on meanwhile does not take it as meant for it."""
        assert entry.job is not None
        memory = self._map(self.directory / str(entry.pid), self._entries * _SIZE)
        _ASKED.pack_into(memory, entry.slot * _SIZE + _RUNNING.size, entry.job.bytes, what)
        memory.close()

    def forget(self, pid: int) -> None:
        """Remove the entries of a dead process."""
        (self.directory / str(pid)).unlink(missing_ok=True)

    def beat(self) -> None:
        """The watch is awake."""
        struct.pack_into("<d", self._drain, 16, time.monotonic())

    @property
    def watch_is_silent(self) -> bool:
        """Whether the watch has missed several beats. Before its first it is not expected."""
        (last,) = struct.unpack_from("<d", self._drain, 16)
        return bool(last) and time.monotonic() - last > settings.HEARTBEAT_SECONDS + 1

    def drain(self, handlers_stop_at: float) -> None:
        """Say to all processes that the node shuts down: begin nothing, and stop what still runs at that time."""
        struct.pack_into("<dd", self._drain, 0, time.monotonic(), handlers_stop_at)

    @property
    def draining(self) -> bool:
        return bool(struct.unpack_from("<d", self._drain, 0)[0])

    @property
    def handlers_must_stop(self) -> bool:
        since, stop_at = struct.unpack_from("<dd", self._drain, 0)
        return bool(since) and time.monotonic() >= stop_at
