"""Starts programs as children in one process group, relays what they say, restarts those that die, stops them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from project.local import guardian
from project.local.datadir import StackError
from project.local.screen import Screen, Voice

LONGEST_PAUSE = 30.0  # between two restarts of a child that keeps dying
STEADY_AFTER = 60.0  # a child that ran so long starts over with the shortest pause
TRIES_BEFORE_READY = 3  # deaths before its first good sign that make a child hopeless
READY_POLL = 0.05


class Process(Protocol):
    """A child of either make: the members of asyncio's Process that are needed here."""

    stdout: asyncio.StreamReader | None

    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, number: signal.Signals) -> None: ...
    def kill(self) -> None: ...


Spawn = Callable[[int], Awaitable[Process]]  # starts the process in the given process group; OSError if it cannot


@dataclass(frozen=True)
class Program:
    name: str
    spawn: Spawn
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0


def executed(
    command: Sequence[str], directory: Path, environment: dict[str, str], uid: int | None = None, gid: int | None = None
) -> Spawn:
    """A process that executes a command, as another user where `uid` and `gid` are given."""

    async def spawn(group: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=group,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )

    return spawn


class Child:
    """A program that is meant to run until it is stopped."""

    def __init__(self, program: Program, voice: Voice, screen: Screen, group: int) -> None:
        self.program = program
        self.voice = voice
        self.deaths = 0
        self._screen = screen
        self._group = group
        self._asked_to_end = asyncio.Event()
        self._process: Process | None = None
        self._task = asyncio.create_task(self._keep_running(), name=program.name)

    @property
    def stopping(self) -> bool:
        return self._asked_to_end.is_set()

    async def _keep_running(self) -> None:
        pause = 0.5
        while True:
            began = time.monotonic()
            end = await self._run_once()
            if self.stopping:
                return
            self.deaths += 1
            pause = 0.5 if time.monotonic() - began > STEADY_AFTER else min(pause * 2, LONGEST_PAUSE)
            self._screen.say_of(self.program.name, f"{end}; starting again in {pause:.0f} s ({self.voice.path})")
            await asyncio.sleep(pause)

    async def _run_once(self) -> str:
        """Run the program to its end, whatever it is. Returns the end in words."""
        try:
            self._process = await self.program.spawn(self._group)
        except OSError as error:
            return f"could not be started: {error}"
        relay = asyncio.create_task(self._relay(self._process))
        code = await self._process.wait()
        # A grandchild may hold the pipe open; what it says later has no reader, and needs none.
        await asyncio.wait([relay], timeout=1.0)
        relay.cancel()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def _relay(self, process: Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.voice.line(line.decode(errors="replace"))
        if rest:
            self.voice.line(rest.decode(errors="replace"))

    async def until(self, sign: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait for the first good sign of the child. StackError with its last words when there is none in time."""
        deadline = time.monotonic() + seconds
        while not await sign():
            if self.deaths >= TRIES_BEFORE_READY or time.monotonic() > deadline:
                words = "\n".join(f"    {line}" for line in self.voice.last) or "    (it said nothing)"
                raise StackError(f"{self.program.name} did not become ready. Its last words:\n{words}")
            await asyncio.sleep(READY_POLL)

    async def stop(self) -> None:
        """Ask it to end, and insist when its time is up."""
        self._asked_to_end.set()
        self.voice.muted = True
        if self._process is None or self._process.returncode is not None:
            self._task.cancel()
        else:
            with suppress(ProcessLookupError):
                self._process.send_signal(self.program.stop_signal)
        _, late = await asyncio.wait([self._task], timeout=self.program.stop_seconds)
        if late:
            self._screen.say_of(self.program.name, f"did not end in {self.program.stop_seconds:.0f} s: killed")
            self.kill()
            await asyncio.wait([self._task], timeout=2.0)
        self.voice.close()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


class Supervisor:
    """All children of one stack, and the guardian that ends them should this process be killed."""

    def __init__(self, screen: Screen, logs: Path) -> None:
        self._screen = screen
        self._logs = logs
        self._children: list[Child] = []
        self._guardian: asyncio.subprocess.Process | None = None
        self._group = 0

    async def guard(self, lock: int, throw_away: Sequence[Path]) -> None:
        """Start the guardian. It holds the lock to the very end, and then removes the directories to throw away."""
        self._guardian = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            guardian.__file__,
            *map(str, throw_away),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[lock],
            process_group=0,
        )
        self._group = self._guardian.pid
        self._estate = lock, throw_away

    async def unguarded(self) -> None:
        """Return when the guardian is gone."""
        assert self._guardian is not None
        await self._guardian.wait()

    def start(self, program: Program, **voice: Any) -> Child:
        child = Child(program, Voice(program.name, self._logs, self._screen, **voice), self._screen, self._group)
        self._children.append(child)
        return child

    async def stop(self, *names: str) -> None:
        """Stop the children of these names at the same time; those that never started are no matter."""
        await asyncio.gather(*(child.stop() for child in self._children if child.program.name in names))

    def hurry(self) -> None:
        """Nobody wants to wait any longer: kill what has been asked to end and has not yet."""
        for child in self._children:
            if child.stopping:
                child.kill()

    async def dismiss_guardian(self) -> None:
        """Let the guardian do its work and wait until it is done."""
        if self._guardian is None:
            return
        if self._guardian.returncode is not None:  # killed before its time: another one tidies up
            await self.guard(*self._estate)
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        self._guardian.stdin.close()
        await self._guardian.stdout.read()
        await self._guardian.wait()


def cores() -> int:
    """Processors that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
