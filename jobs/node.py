"""A worker as the others see it: its lease, and the watch over what its pool processes do.

One thread, awake every heartbeat, in the process that owns the pool. It renews the node's lease in one statement,
hands cancels on to the running handlers, kills what outlives its time, finds out what a dead process was doing, and
ends what is left when a shutdown takes too long. Handlers cannot hold it up: it shares nothing with them but memory.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection

from jobs import doorbell, endings, heartbeat, kinds, leases, lifecycle
from jobs.board import CANCEL, LEASE_LOST, Board, Running
from jobs.endings import Ending
from jobs.models import Job, Node

logger = logging.getLogger(__name__)

# Seconds until the pool's own word on why a process died is given up on. It waits for replacements to come up first,
# up to 4 s for each, so on a busy machine its word comes late.
_CAUSE_WAIT = 10.0
_UNHELD_CHECKS = 3  # heartbeats for which a lease must be in nobody's hands before its jobs are given back


class Watch:
    """The node of this process. `start` after the pool has forked; `drain` on shutdown."""

    def __init__(self, name: str, queues: list[str], slots: int, *, forks: bool) -> None:
        self.board = Board(Path(tempfile.mkdtemp(prefix="haulway-node-")), slots if not forks else 1)
        self.node = Node(
            id=uuid.uuid4(),
            name=settings.WORKER_ID or name,
            queues=queues,
            kinds=[kind.name for kind in kinds.known()],
            slots=slots,
            pid=os.getpid(),
            release=settings.RELEASE,
        )
        self._forks = forks
        self._causes: dict[int, str] = {}
        self._verdicts: dict[
            int, Callable[[Job], Ending]
        ] = {}  # over the jobs of processes that were killed on purpose
        self._seen_dead: dict[int, float] = {}
        self._condemned: set[uuid.UUID] = set()  # jobs in threads that ignore their timeout
        self._unheld: dict[uuid.UUID, int] = {}
        self._first_seen: dict[Running, float] = {}
        self._cancels: dict[Running, float] = {}
        self._drain_ends_at: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def register(self) -> None:
        """Appear before the first message is taken: a claim by an unknown node counts as lost."""
        while True:
            try:
                leases.renew(self.node)
            except Exception as error:  # noqa: BLE001 - whatever keeps the database away, a worker waits for it
                logger.warning("Waiting for Postgres: %s", error)
                connection.close()
                time.sleep(1)
            else:
                return

    def start(self) -> None:
        self.register()  # again: on a busy machine the pool may have taken longer to fork than a lease lasts
        self._thread.start()

    def note_death(self, pid: int, cause: str) -> None:
        """The pool says why one of its processes died."""
        self._causes[pid] = cause

    def drain(self) -> None:
        """Shutdown has begun: handlers get most of the time, their checkpoints the rest. Safe in a signal handler."""
        if self._drain_ends_at is None:
            self.node.draining = True
            self._drain_ends_at = time.monotonic() + settings.DRAIN_SECONDS
            self.board.drain(time.monotonic() + settings.DRAIN_SECONDS * 0.8)

    def stop(self) -> None:
        """The pool is empty: leave at once, so that nobody waits for the lease to run out."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        with suppress(Exception):  # a database that is away will see the lease run out
            Node.objects.filter(id=self.node.id).delete()
        shutil.rmtree(self.board.directory, ignore_errors=True)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.wait(settings.HEARTBEAT_SECONDS):
            self.board.beat()
            heartbeat.beat()
            for duty in self._duties():
                try:
                    duty()
                except Exception:  # a duty that fails must not keep the others from their work
                    logger.exception("The watch could not do its %s; it tries again.", duty.__name__.strip("_"))
                finally:
                    with suppress(DatabaseError):  # back to the pool: the watch works a moment in every second
                        connection.close()

    def _duties(self) -> tuple[Callable[[], None], ...]:
        return (
            self._heartbeat,
            self._enforce_timeouts,
            self._bury_dead_processes,
            self._drain_if_asked,
            self._enforce_drain,
        )

    def _heartbeat(self) -> None:
        entries = self.board.running()
        self.node.memory_bytes = _resident_bytes([self.node.pid, *self.board.pids()])
        reported = leases.renew(self.node)
        by_job = {entry.job: entry for entry in entries if entry.job}
        held = {entry.lease for entry in entries}
        for job_id, _, cancel_asked in reported:
            if cancel_asked and (entry := by_job.get(job_id)):
                self.board.ask(entry, CANCEL)
                self._kill_when_deaf(entry)
        self._give_back_unheld({(job_id, lease) for job_id, lease, _ in reported if lease not in held})
        self._stop_late(entries, {lease for _, lease, _ in reported})

    def _kill_when_deaf(self, entry: Running) -> None:
        """A handler that does not hear its cancel is ended from outside, as one that ignores its timeout is."""
        since = self._cancels.setdefault(entry, time.monotonic())
        if self._forks and time.monotonic() - since > settings.CANCEL_GRACE_SECONDS:
            self._kill(entry, endings.cancelled)

    def _stop_late(self, entries: list[Running], ours: set[uuid.UUID]) -> None:
        """Stop handlers whose job was given to another attempt, while this node was frozen or cut off."""
        now = time.monotonic()
        self._first_seen = {entry: self._first_seen.get(entry, now) for entry in entries if entry.job}
        self._cancels = {entry: since for entry, since in self._cancels.items() if entry in self._first_seen}
        for entry, since in self._first_seen.items():
            # renew() reports every job of ours that is older than a lease; the margin is for the clocks' difference.
            if now - since > settings.LEASE_SECONDS + 5 and entry.lease not in ours:
                self.board.ask(entry, LEASE_LOST)

    def _give_back_unheld(self, unheld: set[tuple[uuid.UUID, uuid.UUID]]) -> None:
        """Jobs that the database says are ours and no process of ours holds: the answer to a claim was lost."""
        leases = {lease for _, lease in unheld}
        self._unheld = {lease: self._unheld.get(lease, 0) + 1 for lease in leases}
        for lease in [lease for lease, times in self._unheld.items() if times >= _UNHELD_CHECKS]:
            lifecycle.unclaim(lease, [job_id for job_id, one in unheld if one == lease])

    def _bury_dead_processes(self) -> None:
        now = time.monotonic()
        for pid in self.board.pids():
            if pid == self.node.pid or _alive(pid):
                continue
            since = self._seen_dead.setdefault(pid, now)
            if pid not in self._causes and (cause := _cause_of_death(pid)):
                self._causes[pid] = cause
            if pid in self._verdicts or pid in self._causes or now - since > _CAUSE_WAIT:
                self._settle(pid)

    def _settle(self, pid: int) -> None:
        """End everything that a dead process held: the job it was running, and, at no cost, its chunk-mates."""
        cause = self._causes.get(pid, "for a reason that its parent did not see")
        story = f"The process that ran it (pid {pid}) ended: {cause}."
        verdict = self._verdicts.get(pid)
        ends = []
        for entry in self.board.running():
            if entry.pid == pid:
                for job in Job.objects.filter(lease=entry.lease, node_id=self.node.id):
                    note = f"A job beside it ended its process (pid {pid})."
                    if job.id != entry.job:
                        ends.append(endings.released(job, note))
                    else:
                        ends.append(verdict(job) if verdict else endings.crashed(job, story))
        lifecycle.record(ends)
        self.board.forget(pid)
        for known in (self._causes, self._verdicts, self._seen_dead):
            known.pop(pid, None)
        doorbell.ring()

    def _enforce_timeouts(self) -> None:
        for entry in self.board.running():
            if not entry.kill_at or entry.kill_at > time.monotonic() or entry.job is None:
                continue
            if self._forks:
                self._kill(entry, endings.timed_out)
            elif entry.job not in self._condemned:
                self._condemn(entry)

    def _kill(self, entry: Running, verdict: Callable[[Job], Ending]) -> None:
        """Kill a pool process that still runs that job. Stopped first: it may finish, and begin another, meanwhile."""
        os.kill(entry.pid, signal.SIGSTOP)
        if entry not in self.board.running():
            os.kill(entry.pid, signal.SIGCONT)
            return
        logger.warning("Job %s does not listen: killing its process, pid %d.", entry.job, entry.pid)
        self._verdicts[entry.pid] = verdict
        os.kill(entry.pid, signal.SIGKILL)

    def _condemn(self, entry: Running) -> None:
        """A thread cannot be killed. Its job is ended, and this process makes way for a fresh one after its drain."""
        assert entry.job is not None
        self._condemned.add(entry.job)
        self.board.ask(entry, LEASE_LOST)
        lifecycle.record([endings.timed_out(job) for job in Job.objects.filter(id=entry.job, lease=entry.lease)])
        logger.warning("Job %s ignores its time limit in a thread: this worker drains and exits.", entry.job)
        os.kill(os.getpid(), signal.SIGTERM)

    def _drain_if_asked(self) -> None:
        if self._drain_ends_at is None and leases.drain_is_asked(self.node):
            logger.warning("An operator asked for it: this worker drains and exits.")
            os.kill(os.getpid(), signal.SIGTERM)

    def _enforce_drain(self) -> None:
        if self._drain_ends_at is None or time.monotonic() < self._drain_ends_at:
            return
        logger.warning("The drain time is over: giving back what still runs.")
        for pid in self.board.pids():
            if pid != self.node.pid and _alive(pid):
                os.kill(pid, signal.SIGKILL)
        note = "Its worker was shut down before it was done; it goes on elsewhere."
        lifecycle.record(
            [endings.released(job, note) for job in Job.objects.filter(node_id=self.node.id, state="running")]
        )
        doorbell.ring()
        Node.objects.filter(id=self.node.id).delete()
        shutil.rmtree(self.board.directory, ignore_errors=True)
        os._exit(0)  # what is left are handlers that no longer hold a lease


def _cause_of_death(pid: int) -> str | None:
    """How a child of ours died; none once the pool has collected it, which it does every few seconds."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # looks, and leaves it to the pool
    except ChildProcessError:
        return None
    if end is None:
        return None
    if end.si_code == os.CLD_EXITED:
        return f"exit code {end.si_status}"
    return f"signal {end.si_status} ({signal.Signals(end.si_status).name})"


def _alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _resident_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total
