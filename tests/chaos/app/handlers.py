"""Kinds that write each of their runs into the ledger before they do anything else, and that can hurt their worker."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from pydantic import BaseModel

from jobs import lifecycle
from jobs.kinds import Backoff, Context, Lane, handler
from tests.chaos import ledger

_STEP = 0.05


class Work(BaseModel):
    """What a job is to do, and which harm it is to do on the way."""

    seconds: float = 0.0  # of work, in steps that listen to `ctx`
    fail_times: int = 0  # attempts that fail before one succeeds
    deaf: bool = False  # does not listen: one long sleep
    abort: bool = False  # ends its process
    eat_megabytes: int = 0
    stuck: bool = False  # in C code that holds the interpreter's lock
    checkpoint: bool = False  # go on where the attempt before stopped
    tell: bool = False  # when done, submit another job while it holds its own: what a notification would do


def work(payload: Work, ctx: Context) -> dict[str, Any]:
    """Work for a while and say which attempt it was."""
    ledger.write(ctx.job_id, ctx.attempt)
    if payload.abort:
        os.abort()
    if payload.stuck:
        re.match(r"(a+)+$", "a" * 64 + "b")
    eaten = _eat(payload.eat_megabytes)
    if payload.deaf:
        time.sleep(payload.seconds)
    else:
        _work(payload, ctx)
    if ctx.attempt <= payload.fail_times:
        raise RuntimeError(f"attempt {ctx.attempt} was to fail")
    if payload.tell:
        with ctx.held():
            lifecycle.submit("chaos.work", metadata={"told_by": ctx.job_id})
    return {"attempt": ctx.attempt, "eaten": len(eaten)}


handler("chaos.work", backoff=Backoff(base=0.5))(work)
handler("chaos.wait", lane=Lane.IO, backoff=Backoff(base=0.5))(work)


def _work(payload: Work, ctx: Context) -> None:
    done = float(ctx.checkpoint or 0) if payload.checkpoint else 0.0
    saved = began = time.monotonic()
    while (left := payload.seconds - done - (time.monotonic() - began)) > 0:
        ctx.progress(1 - left / payload.seconds, f"attempt {ctx.attempt}")
        if payload.checkpoint and time.monotonic() - saved > 1:
            saved = time.monotonic()
            ctx.save_checkpoint(done + saved - began)
        time.sleep(min(_STEP, left))


def _eat(megabytes: int) -> list[bytearray]:
    return [bytearray(b"x" * 1024 * 1024) for _ in range(megabytes)]
