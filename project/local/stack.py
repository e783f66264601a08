"""The whole stack from start to stop: servers, migrations, processes, and the moment when all is ready."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import psycopg
import redis

from project.local import programs
from project.local.datadir import Addresses, DataDir, make_scratch
from project.local.migration import bring_up_to_date
from project.local.nursery import open_nursery
from project.local.ports import LOOPBACK, Port, keep_port
from project.local.postgres import ENVIRONMENT, Postgres
from project.local.screen import Screen
from project.local.supervisor import Program, Supervisor, executed
from project.local.valkey import Valkey

SECONDS_TO_START = 120.0
PARENT_POLL = 0.5
POSTGRES, VALKEY = "postgres", "valkey"
# Statements that fail are the business of those who sent them, and they report them themselves.
POSTGRES_ALARM = re.compile(r"\b(FATAL|PANIC):(?!.*starting up)")
STOP_ORDER = ((programs.WEB,), programs.WORKERS, (*programs.DISPATCHERS, programs.FLOWER), (VALKEY,), (POSTGRES,))


@dataclass(frozen=True)
class Plan:
    data: DataDir
    port: int  # of the API; 0: any
    drain_seconds: float
    servers_only: bool  # Postgres and Valkey, with migrations and processes left to the caller
    with_parent: bool  # end when the process that started this one does


class Stack:
    def __init__(self, plan: Plan, screen: Screen, on_ready: Callable[[Addresses], None]) -> None:
        self.plan = plan
        self.screen = screen
        self._on_ready = on_ready
        self._supervisor = Supervisor(screen, plan.data.logs)
        self._ports: list[Port] = []
        self._asked_to_stop = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Start everything, then stay until a signal, or the parent's end, asks to stop. StackError if it failed."""
        # A child that the guardian cuts down with SIGQUIT shall leave no core file behind.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        self._listen_for_signals()
        lock = self.plan.data.lock()
        try:
            start = asyncio.create_task(self._start(lock))
            stop = asyncio.create_task(self._asked_to_stop.wait())
            await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                start.result()
                await stop
            patience = f"up to {self.plan.drain_seconds:.0f} s for running jobs; Ctrl-C again stops at once"
            self.screen.explain("Stopping." if self.plan.servers_only else f"Stopping: {patience}.")
            start.cancel()
            with suppress(asyncio.CancelledError):
                await start
        finally:
            await self._stop()
            os.close(lock)

    def _listen_for_signals(self) -> None:
        def stop() -> None:
            if self._asked_to_stop.is_set():
                self._supervisor.hurry()
            self._asked_to_stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)
        if self.plan.with_parent:
            self._watches.append(asyncio.create_task(self._stop_when_orphaned(os.getppid())))

    async def _stop_when_orphaned(self, parent: int) -> None:
        while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells a process that its parent has changed
            await asyncio.sleep(PARENT_POLL)
        self._asked_to_stop.set()

    async def _stop_when_unguarded(self) -> None:
        await self._supervisor.unguarded()
        if not self._asked_to_stop.is_set():
            self.screen.say("The guardian process was killed. Without it, children could be left behind: stopping.")
            self._asked_to_stop.set()

    async def _start(self, lock: int) -> None:
        data, secrets = self.plan.data, self.plan.data.secrets()
        durable = not data.ephemeral
        scratch = make_scratch()
        await self._supervisor.guard(lock, [scratch, data.path] if data.ephemeral else [scratch])
        self._watches.append(asyncio.create_task(self._stop_when_unguarded()))

        postgres = Postgres(data.path / POSTGRES, scratch, self._port().number, secrets.postgres_password, durable)
        valkey = Valkey(data.path / VALKEY, self._port().number, secrets.redis_password, durable)
        addresses = Addresses(
            api=None,
            flower=None,
            postgres_url=postgres.url,
            redis_url=valkey.url,
            download_root=str(data.downloads),
            data_dir=str(data.path),
        )
        if self.plan.servers_only:
            await asyncio.gather(self._start_valkey(valkey), self._start_postgres(postgres))
        else:
            addresses = await self._start_platform(postgres, valkey, addresses)
        data.write_addresses(addresses)
        self._on_ready(addresses)

    async def _start_platform(self, postgres: Postgres, valkey: Valkey, addresses: Addresses) -> Addresses:
        """Importing Python code takes the longest by far: that goes on beside everything else."""
        secrets = self.plan.data.secrets()
        environment = programs.environment(
            postgres_url=postgres.url,
            redis_url=valkey.url,
            download_root=self.plan.data.downloads,
            scratch=postgres.scratch,
            secret_key=secrets.secret_key,
        )
        await asyncio.gather(
            asyncio.to_thread(open_nursery, environment),
            self._start_servers_and_migrate(postgres, valkey),
        )
        start = self._supervisor.start
        api, flower = self._port(self.plan.port).number, self._port(5555 if self.plan.port else 0).number
        web, watcher = start(programs.web(api)), start(programs.flower(flower))
        for program in (*programs.workers(self.plan.drain_seconds), *programs.dispatchers()):
            start(program)
        await asyncio.gather(
            web.until(partial(_answers, api, "/health"), SECONDS_TO_START),
            watcher.until(partial(_answers, flower, "/"), SECONDS_TO_START),
        )
        return replace(addresses, api=f"http://{LOOPBACK}:{api}", flower=f"http://{LOOPBACK}:{flower}")

    async def _start_servers_and_migrate(self, postgres: Postgres, valkey: Valkey) -> None:
        await asyncio.gather(self._start_valkey(valkey), self._start_postgres(postgres))
        data = self.plan.data
        await asyncio.to_thread(bring_up_to_date, postgres.url, data.secrets().admin_password, data.logs)

    async def _start_postgres(self, postgres: Postgres) -> None:
        await asyncio.to_thread(postgres.prepare)
        account = postgres.account
        spawn = executed(
            postgres.command(),
            postgres.cluster,
            ENVIRONMENT,
            uid=account.uid if account else None,
            gid=account.gid if account else None,
        )
        program = Program(
            POSTGRES,
            spawn,
            stop_signal=signal.SIGINT,  # Postgres's fast shutdown: clients are sent away, data is flushed
            stop_seconds=20.0,
        )
        child = self._supervisor.start(program, alarming=POSTGRES_ALARM)
        await child.until(partial(_connects, postgres.url), SECONDS_TO_START)

    async def _start_valkey(self, valkey: Valkey) -> None:
        await asyncio.to_thread(valkey.prepare)
        child = self._supervisor.start(
            Program(VALKEY, executed(valkey.command(), valkey.directory, {}), stop_seconds=10.0)
        )
        await child.until(partial(_pings, valkey.url), SECONDS_TO_START)

    def _port(self, wanted: int = 0) -> Port:
        port, excuse = keep_port(wanted)
        if excuse:
            self.screen.say(excuse)
        self._ports.append(port)
        return port

    async def _stop(self) -> None:
        for watch in self._watches:
            watch.cancel()
        self.plan.data.forget_addresses()
        for names in STOP_ORDER:
            await self._supervisor.stop(*names)
        await self._supervisor.dismiss_guardian()
        for port in self._ports:
            port.release()


async def _connects(url: str) -> bool:
    return await _succeeds(lambda: psycopg.connect(url, connect_timeout=2, sslmode="disable").close(), psycopg.Error)


async def _pings(url: str) -> bool:
    def ping() -> None:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()

    return await _succeeds(ping, redis.RedisError)


async def _answers(port: int, path: str) -> bool:
    """Whether the page is there; asked for without the proxies that the environment may name."""

    def ask() -> None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status >= http.HTTPStatus.BAD_REQUEST:
                raise http.client.HTTPException
        finally:
            connection.close()

    return await _succeeds(ask, OSError, http.client.HTTPException)


async def _succeeds(action: Callable[[], None], *failures: type[Exception]) -> bool:
    try:
        await asyncio.to_thread(action)
    except failures:
        return False
    return True
