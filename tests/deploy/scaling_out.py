"""`python -m tests.deploy.scaling_out`: how much a second host of workers adds, over real TCP. It needs root."""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from tests.deploy.hosts import SLOTS, Hosts, hosts  # noqa: E402 - what it starts is described by the settings
from tests.waiting import eventually  # noqa: E402

JOB_SECONDS = 0.05
LEAST_RATIO = 1.8
_SECONDS = 15  # that each measurement takes about
_ROUNDS = 2


def main() -> int:
    ideal = SLOTS / JOB_SECONDS
    with hosts() as network:
        network.start_worker("east")
        rate(network, 100)  # until the chunks have their size
        one = max(rate(network, int(ideal * _SECONDS)) for _ in range(_ROUNDS))
        network.start_worker("west")
        rate(network, 100)
        two = max(rate(network, int(2 * ideal * _SECONDS)) for _ in range(_ROUNDS))
    sys.stdout.write(
        f"Jobs of {JOB_SECONDS * 1000:.0f} ms, {SLOTS} slots a host: one host {one:.1f}/s of {ideal:.0f} at best,"
        f" two hosts {two:.1f}/s of {2 * ideal:.0f}: {two / one:.2f} times as much\n"
    )
    return 0 if two >= LEAST_RATIO * one else 1


def rate(network: Hosts, jobs: int) -> float:
    """Jobs that are done in a second, from the first's start to the last's end, by the database's clock."""
    network.submit(jobs, seconds=JOB_SECONDS)
    eventually(lambda: network.count("state <> 'completed'") == 0, seconds=120)
    latest = "SELECT started_at, finished_at FROM jobs_job ORDER BY id DESC LIMIT %s"
    seconds = network.one(
        f"SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM ({latest}) done", jobs
    )
    return jobs / float(seconds)


if __name__ == "__main__":
    sys.exit(main())
