"""Processes that start at once: forked from one that has imported everything, instead of importing it each.

A start of `celery -A project worker` costs seconds of processor time, most of it for imports that are the same in all
of Haulway's processes. `nursery()` forks a server, before this process has threads or connections; the server forks
the processes that are asked for. They run the same command lines, in the same groups, as those started afresh.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

_POLL = 0.02


class Forked:
    """A process of the nursery, with the part of `subprocess.Popen` that an actor needs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.ready = threading.Event()  # a worker takes messages
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.name, timeout or 0)
        assert self.returncode is not None
        return self.returncode


class Nursery:
    """The end of the pipes at which processes are asked for."""

    def __init__(self, orders: TextIO, news: TextIO) -> None:
        self._orders = orders
        self._lock = threading.Lock()
        self._born: dict[str, Forked] = defaultdict(lambda: Forked(""))
        threading.Thread(target=self._listen, args=(news,), daemon=True).start()

    def start(self, words: Sequence[str], log: Path) -> Forked:
        """Run `celery` with these words."""
        with self._lock:
            key = str(len(self._born))
            forked = self._born[key] = Forked(" ".join(words))
            self._orders.write(json.dumps({"key": key, "words": list(words), "log": str(log)}) + "\n")
            self._orders.flush()
        if not forked.begun.wait(60):
            raise TimeoutError("The nursery does not answer.")
        return forked

    def _listen(self, news: TextIO) -> None:
        for line in news:
            what, key, value = line.split()
            forked = self._born[key]
            if what == "begun":
                forked.pid = int(value)
                forked.begun.set()
            elif what == "ready":
                forked.ready.set()
            else:
                forked.returncode = int(value)
                forked.ended.set()


def nursery(group: int) -> Nursery:
    """Fork the server into that group of processes. To be called while this process has one thread only."""
    assert threading.active_count() == 1
    from celery.bin import celery  # noqa: F401, PLC0415 - so that the server has it

    from project.celery import app  # noqa: PLC0415

    app.loader.import_default_modules()
    orders_out, orders_in = os.pipe()
    news_out, news_in = os.pipe()
    if os.fork() == 0:
        os.setpgid(0, group)
        _close_all_but(0, 1, 2, orders_out, news_in)
        _serve(orders_out, news_in, group)
    os.close(orders_out)
    os.close(news_in)
    return Nursery(os.fdopen(orders_in, "w"), os.fdopen(news_out))


def _close_all_but(*kept: int) -> None:
    """Let go of what was inherited: while a copy of its pipe is open, the guardian takes the scenario for alive."""
    for name in [link.name for link in Path("/proc/self/fd").iterdir()]:
        if int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _serve(orders: int, news: int, group: int) -> NoReturn:
    children: dict[int, str] = {}
    rest = ""
    while True:
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _say(news, "ended", children.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))
        if not select.select([orders], [], [], _POLL)[0]:
            continue
        piece = os.read(orders, 65536).decode()
        if not piece:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            order = json.loads(line)
            if pid := os.fork():
                children[pid] = order["key"]
                _say(news, "begun", order["key"], pid)
            else:
                os.setpgid(0, group)
                os.close(orders)
                _become(order, news)


def _become(order: dict[str, Any], news: int) -> NoReturn:
    from celery.bin.celery import celery  # noqa: PLC0415
    from celery.signals import worker_ready  # noqa: PLC0415

    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for standard in (1, 2):
        os.dup2(log, standard)
    worker_ready.connect(lambda **_: _say(news, "ready", order["key"], 0), weak=False)
    sys.argv = ["celery", *order["words"]]
    code = 1
    try:
        code = celery.main(order["words"], standalone_mode=False) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)  # what is further up the stack belongs to the process that was forked from


def _say(news: int, what: str, key: str, value: int) -> None:
    os.write(news, f"{what} {key} {value}\n".encode())
