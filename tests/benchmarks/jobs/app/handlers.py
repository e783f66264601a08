"""The jobs that are measured."""

from __future__ import annotations

import time

from pydantic import BaseModel

from jobs.kinds import Lane, handler
from tests.benchmarks.jobs import tally


class Nothing(BaseModel):
    pass


class Work(BaseModel):
    seconds: float = 0.0  # to keep a slot: waiting, not computing, for then the processors would bound the slots
    submitted: float = 0.0  # when, by the clock of this machine


@handler("bench.noop")
def noop(_: Nothing, __: object) -> None:
    """Nothing but to be counted."""
    tally.note()


@handler("bench.work")
def work(payload: Work, _: object) -> float:
    """Keep a slot for so long. The result: the seconds from submission to here."""
    waited = time.time() - payload.submitted
    time.sleep(payload.seconds)
    tally.note()
    return waited


@handler("waiting", lane=Lane.IO)
def waiting(payload: Work, _: object) -> None:
    """Keep a thread for so long, and be counted nowhere."""
    time.sleep(payload.seconds)


handler("bench.short")(work)  # the same under another name, for its pace is measured by kind
handler("bench.long")(work)
