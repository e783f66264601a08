"""The leading dispatcher, killed and frozen, with a standby beside it."""

from __future__ import annotations

import time
import uuid

from tests.chaos.actor import Actor
from tests.chaos.scenario import Play, scenario

_QUIET = 6.0  # seconds, longer than the dispatcher's lease, in which nobody but the leader may lead


@scenario("leading dispatcher killed", bound=10, steady=True)
def dispatcher_killed(play: Play) -> None:
    leader = _open(play)
    term = play.term()
    play.measure_before()
    play.promise(play.term() == term, "one dispatcher leads while it lives")
    leader.kill()
    began = time.monotonic()
    _until_dispatched(play, began)
    leader.start()
    play.measure_after()
    play.promise(play.term() == term + 1, "the lead changed hands once")


@scenario("leading dispatcher frozen past its lease, then thawed", bound=10, steady=True)
def dispatcher_frozen(play: Play) -> None:
    leader = _open(play)
    term = play.term()
    play.measure_before()
    leader.freeze()
    began = time.monotonic()
    _until_dispatched(play, began)
    while time.monotonic() < began + 3 * _QUIET:  # far past its lease, while the other one leads
        time.sleep(0.1)
    leader.thaw()
    play.measure_after()
    play.promise(play.leader() is not leader, "a leader that was replaced does not lead when it wakes")
    play.promise(play.term() == term + 1, "the lead changed hands once")


def _open(play: Play) -> Actor:
    play.open()
    play.warm_up()
    leader = play.leader()
    assert leader is not None
    return leader


def _until_dispatched(play: Play, began: float) -> None:
    """Until a job that was submitted after the fault has started."""
    ids: list[uuid.UUID] = play.load.submit(1, options={"priority": "critical"})
    play.stage.until(lambda: play.stage.count("id = %s AND started_at IS NOT NULL", ids[0]), 60, "dispatch goes on")
    play.recovered(time.monotonic() - began)
