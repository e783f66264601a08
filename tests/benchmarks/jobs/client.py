"""Submit jobs from a process of its own: `python -m tests.benchmarks.jobs.client MODULE single|bulk COUNT`.

Prints the seconds that the calls took; imports and the first connections are not among them.
"""

from __future__ import annotations

import importlib
import sys
import time

_FIRST = 20  # not measured: they open the connections


def main() -> None:
    module, way, count = sys.argv[1:]
    submit = getattr(importlib.import_module(module), way)
    submit(_FIRST)
    began = time.perf_counter()
    submit(int(count))
    print(time.perf_counter() - began)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
