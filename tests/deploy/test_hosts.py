"""Three hosts over real TCP: one is cut off, one is scaled away under load, and nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.deploy.hosts import DRAIN_SECONDS, SLOTS, Hosts, hosts, possible
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ELSEWHERE_WITHIN = 30.0  # seconds from the fault until what the host had runs on another
# What was claimed ahead and has not begun is given back before this.
AT_WORK = "state = 'running' AND started_at < now() - interval '1 second'"


@pytest.fixture
def network() -> Iterator[Hosts]:
    if not possible():
        pytest.skip("making hosts needs root, iproute2 and a kernel that allows it")
    with hosts() as made:
        yield made


def test_what_a_host_had_that_is_cut_off_runs_elsewhere_and_it_works_again_when_it_is_back(network: Hosts) -> None:
    network.start_worker("east")
    network.start_worker("west")
    network.submit(2 * SLOTS, seconds=6)
    eventually(lambda: network.count(AT_WORK) == 2 * SLOTS)
    cut_at = network.one("SELECT extract(epoch FROM now())::float8")
    network.unplug("west")
    eventually(lambda: network.count("state <> 'completed'") == 0)

    assert network.one("SELECT count(*) FROM jobs_attempt WHERE outcome = 'lost' AND node = 'west'") == SLOTS
    elsewhere = (
        "SELECT extract(epoch FROM max(started_at))::float8 FROM jobs_attempt WHERE number = 2 AND node = 'east'"
    )
    assert network.one(elsewhere) - cut_at <= ELSEWHERE_WITHIN

    by_west = "SELECT count(*) FROM jobs_attempt WHERE outcome = 'completed' AND node = 'west'"
    before = network.one(by_west)
    network.plug_in("west")

    def works_again() -> bool:
        network.submit(10, seconds=0.2)
        return bool(network.one(by_west) > before)

    eventually(works_again)
    eventually(lambda: network.count("state <> 'completed'") == 0)
    jobs = network.count("TRUE")
    assert network.one("SELECT count(*) FROM jobs_attempt WHERE outcome = 'completed'") == jobs, "each ended once"


def test_a_host_that_is_scaled_away_under_load_gives_back_what_it_has_and_burns_no_attempt(network: Hosts) -> None:
    network.start_worker("east")
    west = network.start_worker("west")
    network.submit(SLOTS + 1, seconds=2 * DRAIN_SECONDS)  # more than the other host can take
    eventually(lambda: network.count(AT_WORK) == SLOTS + 1)
    network.submit(300, seconds=0.2)
    eventually(lambda: network.count("state = 'completed'") > 50)
    west.send_signal(signal.SIGTERM)
    assert west.wait(60) == 0
    eventually(lambda: network.count("state <> 'completed'") == 0)
    assert network.count("failures + crashes + losses > 0") == 0
    assert network.one("SELECT count(*) FROM jobs_attempt WHERE outcome = 'released' AND node = 'west'") > 0
    assert network.one("SELECT count(*) FROM jobs_attempt WHERE outcome NOT IN ('completed', 'released')") == 0
