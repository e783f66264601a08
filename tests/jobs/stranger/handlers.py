from __future__ import annotations

import os
import time

from pydantic import BaseModel

from jobs.kinds import Context, Lane, handler


class Nothing(BaseModel):
    pass


@handler("stranger")
def stranger(payload: Nothing, ctx: Context) -> str:
    """Known where this app is installed."""
    return "known here"


class Sampled(BaseModel):
    ledger: str
    key: str = ""
    seconds: float = 0.0


@handler("sampled")
def sampled(payload: Sampled, ctx: Context) -> None:
    """Writes down when it runs, and in which process."""
    with open(payload.ledger, "a") as ledger:  # noqa: PTH123 - append mode: one line is one atomic write
        ledger.write(f"{payload.key} {os.getpid()} {time.time()} began\n")
        ledger.flush()
        time.sleep(payload.seconds)
        ledger.write(f"{payload.key} {os.getpid()} {time.time()} ended\n")


@handler("stubborn", lane=Lane.IO, timeout=1, max_retries=0)
def stubborn(payload: Nothing, ctx: Context) -> None:
    """Waits for others and hears nothing: no cancel, no timeout, no drain."""
    time.sleep(3600)
