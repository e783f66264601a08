"""Plays one scenario: `python -m tests.chaos.perform NAME HOME DIRECTORY [--no-throughput]`.

The finding, as JSON, is its last line.

Each scenario has a process of its own, because settings are read once per process and its servers are its own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import django

from tests.chaos.stage import Stage


def main() -> None:
    name, home, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with Stage(home, directory) as stage:
        os.environ.update(stage.environment)
        django.setup()
        stage.open_nursery()
        from tests.chaos.scenarios import SCENARIOS  # noqa: PLC0415 - scenarios need the settings

        finding = SCENARIOS[name].run(stage, throughput="--no-throughput" not in sys.argv)
    sys.stdout.write(json.dumps(finding.as_json()) + "\n")


if __name__ == "__main__":
    main()
