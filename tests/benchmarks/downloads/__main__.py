"""Our engine against its peers: ``python -m tests.benchmarks.downloads [--case NAME ...]``.

Every client fetches every case in turn, round after round, so that a slow minute of the machine is slow for all; the
medians are shown. Every fetched byte is compared with what was served.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks.downloads import report
from tests.benchmarks.downloads.clients import clients
from tests.benchmarks.downloads.measuring import Run, run
from tests.benchmarks.downloads.servers import SMALL_FILES, Servers, servers
from tests.benchmarks.downloads.through_platform import NAME as PLATFORM
from tests.benchmarks.downloads.through_platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Case:
    """What is fetched, and from where. ``disk`` says whether it goes to a disk or to memory."""

    title: str
    urls: Callable[[Servers], list[str]]
    disk: bool = False


def _file(path: str, port: str = "port", scheme: str = "http") -> Callable[[Servers], list[str]]:
    return lambda at: [f"{scheme}://localhost:{getattr(at, port)}/{path}"]


CASES = {
    "memory": Case("plain HTTP, loopback to memory", _file("big.bin")),
    "disk": Case("plain HTTP, loopback to disk", _file("big.bin"), disk=True),
    "tls": Case("TLS 1.3, loopback to memory", _file("big.bin", "tls_port", "https")),
    "throttled": Case("5 MiB/s per connection, 200 MiB", _file("throttled/middle.bin")),
    "uneven": Case("every other connection 400 KiB/s, the rest 6 MiB/s, 200 MiB", _file("uneven/middle.bin")),
    "small": Case(
        f"{SMALL_FILES} files of 256 KiB",
        lambda at: [f"http://localhost:{at.port}/small{number}.bin" for number in range(SMALL_FILES)],
    ),
    "near": Case("40 ms away, one packet in 10,000 lost, 20 MiB", _file("distant.bin", "near")),
    "far": Case("200 ms away, one packet in 10,000 lost, 20 MiB", _file("distant.bin", "far")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Our engine against its peers.")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one; may be repeated")
    parser.add_argument("--client", action="append", help="only this one; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the big file")
    parser.add_argument("--peers", type=Path, help="make an environment there for the peers from PyPI, and use it")
    parser.add_argument("--out", type=Path, default=ROOT / ".data" / "benchmarks", help="where JSON and plot go")
    options = parser.parse_args()
    console = Console(width=112)
    taking_part = [one for one in clients(options.peers) if not options.client or one.name in options.client]
    console.print("  ".join(f"{one.name} {one.version}" for one in taking_part))
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112
    results: report.Results = {}
    with (
        tempfile.TemporaryDirectory(prefix="haulway-origin-", dir=memory) as place,
        tempfile.TemporaryDirectory(dir=memory) as in_memory,
        tempfile.TemporaryDirectory(dir=ROOT) as on_disk,
        servers(Path(place), big=options.size) as at,
    ):
        for name in options.case or CASES:
            case = CASES[name]
            urls, into = case.urls(at), Path(on_disk if case.disk else in_memory)
            invited = [one for one in taking_part if one.many or len(urls) == 1]
            runs: list[Run] = []
            with ExitStack() as stack:
                platform = None
                if not options.client or PLATFORM in options.client:
                    platform = stack.enter_context(Platform(at, into))
                for _ in range(options.rounds):
                    if platform:
                        runs.append(platform.run(urls, options.connections))
                    runs += [run(one, urls, at=at, into=into, connections=options.connections) for one in invited]
            results[case.title] = runs
            report.show(case.title, runs, console)
            report.write(results, {one.name: one.version for one in taking_part}, options.out)
    console.print(f"Written: {options.out / 'downloads.json'} and downloads.svg")


if __name__ == "__main__":
    main()
