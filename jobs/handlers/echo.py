"""The kind for trying things out: it gives its payload back, and can misbehave in every way that a handler can."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.kinds import Context, GiveUp, Snooze, handler


class Echo(BaseModel):
    """Anything, and what to do on the way."""

    model_config = ConfigDict(extra="allow")

    sleep: float = Field(default=0, ge=0, le=86_400, description="Seconds to work, with progress.")
    fail_times: int = Field(default=0, ge=0, description="Attempts that fail before one succeeds.")
    give_up: bool = Field(default=False, description="Say that no attempt can succeed.")
    snooze: float = Field(default=0, ge=0, description="Seconds to be called again after, on the first attempt.")
    crash: bool = Field(default=False, description="Kill its own process. Needs diagnostics.")
    hang: bool = Field(default=False, description="Ignore cancel and timeout. Needs diagnostics.")
    ledger: str = Field(default="", description="A file that gets a line per run. Needs diagnostics.")

    @model_validator(mode="after")
    def harm_needs_diagnostics(self) -> Echo:
        if (self.crash or self.hang or self.ledger) and not settings.ALLOW_DIAGNOSTICS:
            raise ValueError("crash, hang and ledger hurt real work: they need ALLOW_DIAGNOSTICS=1")
        return self


@handler("echo")
def echo(payload: Echo, ctx: Context) -> dict[str, Any]:
    """Return the payload. Can sleep, report progress, fail, give up, crash or hang on the way."""
    if payload.ledger:
        with open(payload.ledger, "a") as ledger:  # noqa: PTH123 - append mode: one line is one atomic write
            ledger.write(f"{ctx.job_id} {ctx.attempt}\n")
    if payload.crash:
        os.kill(os.getpid(), signal.SIGKILL)
    if payload.hang:
        time.sleep(payload.sleep or 3600)
    if payload.give_up:
        raise GiveUp("asked to give up")
    if payload.snooze and ctx.attempt == 1:
        raise Snooze(payload.snooze)
    if ctx.attempt <= payload.fail_times:
        raise RuntimeError(f"asked to fail {payload.fail_times} times, this is attempt {ctx.attempt}")
    _work(payload.sleep, ctx)
    return payload.model_dump(exclude_unset=True)


def _work(seconds: float, ctx: Context) -> None:
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        ctx.progress(elapsed / seconds, f"{elapsed:.0f} of {seconds:g} s")
        time.sleep(min(0.2, seconds - elapsed))
