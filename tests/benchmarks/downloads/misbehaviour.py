"""The peers against the misbehaving origins of our tests: ``python -m tests.benchmarks.downloads.misbehaviour``.

Each client fetches from each origin once, over four connections. ``ok`` is the right file, ``WRONG`` a file that is
not and an exit code that says all is well, ``fails`` an error, ``hangs`` no end within the limit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.downloads.clients import Client, clients
from tests.origins import FileOrigin
from tests.origins.misbehaving import file_scenarios


def outcome(client: Client, make: Callable[[], FileOrigin], limit: float) -> str:
    directory = Path(tempfile.mkdtemp(prefix="haulway-bench-"))
    try:
        with make() as origin:
            certificate = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
            process = subprocess.Popen(
                client.command([origin.url()], directory, 4, certificate),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd=directory,
            )
            began = time.monotonic()
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "hangs"
            seconds = time.monotonic() - began
            if code:
                return "fails"
            fetched = directory / "file.bin"
            right = fetched.exists() and fetched.read_bytes() == origin.data
            return f"ok {seconds:.1f} s" if right else "WRONG"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The peers against the misbehaving origins of our tests.")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds after which a client is said to hang")
    parser.add_argument("--at-once", type=int, default=4, help="fetches that run beside each other")
    parser.add_argument("--peers", type=Path, help="the environment of the peers from PyPI")
    parser.add_argument("--client", action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    taking_part = [one for one in clients(options.peers) if not options.client or one.name in options.client]
    scenarios = file_scenarios()
    with ThreadPoolExecutor(options.at_once) as pool:
        rows = {
            number: {one.name: pool.submit(outcome, one, make, options.limit) for one in taking_part}
            for number, make in scenarios.items()
        }
    table = Table("#", "origin", *(one.name for one in taking_part))
    counts = {one.name: Counter(row[one.name].result().split()[0] for row in rows.values()) for one in taking_part}
    for number, row in rows.items():
        table.add_row(str(number), type(scenarios[number]()).__name__, *(cell.result() for cell in row.values()))
    for word, label in (("ok", "right"), ("fails", "failed"), ("WRONG", "wrong in silence"), ("hangs", "hung")):
        table.add_row("", f"{label}, of {len(scenarios)}", *(str(counts[one.name][word]) for one in taking_part))
    console = Console(width=150)
    console.print("  ".join(f"{one.name} {one.version}" for one in taking_part))
    console.print(table)


if __name__ == "__main__":
    main()
