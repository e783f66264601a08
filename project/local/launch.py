"""Start `manage.py up` from another program, and learn where it is reached."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from project.local.datadir import Addresses, StackError

MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"
UP = (sys.executable, str(MANAGE), "up", "--json")
SECONDS_TO_STOP = 60.0


@dataclass
class Launched:
    process: subprocess.Popen[str]
    addresses: Addresses

    def stop(self) -> int:
        """Let it stop in order, and kill it should it not. Returns the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def launch(*options: str, outlives_us: bool = False, stderr: int | None = None) -> Launched:
    """Run `up --json` with these options and return when all is ready; StackError when it ends before."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*UP, *options, *([] if outlives_us else ["--with-parent"])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=outlives_us,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise StackError(f"The stack ended with exit code {process.wait()} before it was ready.")
    process.stdout.close()
    return Launched(process, Addresses(**json.loads(line)))
