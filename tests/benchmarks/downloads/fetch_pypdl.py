"""Fetch URLs with pypdl, in its own environment: directory, connections, URLs. Prints seconds and CPU seconds."""

from __future__ import annotations

import json
import resource
import sys
import time

from pypdl import Pypdl  # type: ignore[import-not-found, unused-ignore]


def main(into: str, connections: int, urls: list[str]) -> None:
    def cpu() -> float:
        return sum(
            used.ru_utime + used.ru_stime
            for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        )

    began, spent = time.perf_counter(), cpu()
    client = Pypdl(max_concurrent=connections)
    tasks = [{"url": url, "file_path": f"{into}/{url.rpartition('/')[2]}"} for url in urls]
    client.start(tasks=tasks, segments=connections, display=False, overwrite=True, retries=2, block=True, ssl=False)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began, "cpu": cpu() - spent}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
