"""The life of a job: everything that can happen to it, and nothing else writes `state`.

    submit ─► scheduled ──promote──► queued ──claim──► running ──┬─► completed
                  ▲                    ▲  ▲                      ├─► failed     (dead letter)
                  └──── snoozed ◄──────┼──┼────── record ────────┼─► cancelled, paused
                                       │  └────── released ◄─────┤
                  retrying ─promote────┘                         │
                     ▲──────────── failed, retries left ─────────┘
    pause: scheduled, queued, retrying ─► paused ─► resume        requeue: failed, cancelled ─► queued
    hasten: scheduled ─► queued                                   discard: failed ─► cancelled
                                                                  rewrite: what waits or is paused, by its unique key
    submit, waiting for other jobs ─► blocked ─► release: queued, scheduled; abandon: cancelled (see jobs/flow.py)

Each verb is one statement that names the states it starts from, so of two that race one wins and the other changes
nothing. A running job is held by a lease, a random token: `record` ends an attempt only while its token is in the
row. Who comes late (frozen, rescued, replaced) is told so, and nothing of what it did is kept.

How a job begins stands in submitting.py, the verbs of workers in attempts.py, all others in verbs.py. Every verb works
on sets. Times are the database's own. Nothing here publishes to the broker: `doorbell` only says
that there is something to look at.
"""

from __future__ import annotations

from jobs.lifecycle.attempts import claim, record, unclaim
from jobs.lifecycle.submitting import KeyTaken, place, place_many, submit, submit_many
from jobs.lifecycle.verbs import (
    VERBS,
    abandon,
    cancel,
    discard,
    hasten,
    not_reached,
    pause,
    promote,
    release,
    requeue,
    resume,
    rewrite,
    set_priority,
)

__all__ = [
    "VERBS",
    "KeyTaken",
    "abandon",
    "cancel",
    "claim",
    "discard",
    "hasten",
    "not_reached",
    "pause",
    "place",
    "place_many",
    "promote",
    "record",
    "release",
    "requeue",
    "resume",
    "rewrite",
    "set_priority",
    "submit",
    "submit_many",
    "unclaim",
]
