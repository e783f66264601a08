from __future__ import annotations

import hashlib
import io
import subprocess
from pathlib import Path

import psutil
import pytest
import requests
from rich.console import Console

from project.demo.api import Api, DemoFailedError
from project.demo.origin import serving
from project.demo.show import MIB, perform
from project.local.datadir import Addresses
from project.local.launch import UP

pytestmark = pytest.mark.timeout(300)  # whole platforms start here, on a machine that may be busy


def test_the_origin_serves_ranges_of_one_file() -> None:
    with serving(MIB, 100 * MIB) as origin:
        whole = requests.get(origin.url, timeout=10)
        part = requests.get(origin.url, headers={"Range": "bytes=100-299"}, timeout=10)
        beyond = requests.get(origin.url, headers={"Range": f"bytes={MIB}-"}, timeout=10)
    assert hashlib.sha256(whole.content).hexdigest() == origin.sha256
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{MIB}"
    assert (beyond.status_code, beyond.content) == (416, b"")


def test_the_demo_downloads_runs_jobs_of_every_priority_and_tells_the_story(stack: Addresses) -> None:
    assert stack.api
    screen = io.StringIO()
    with serving(8 * MIB, 4 * MIB) as origin:
        file = perform(Api(stack.api), origin, Path(stack.download_root), Console(file=screen, width=120))
    assert file.read_bytes() == origin.content
    for word in ("8 MiB, 4 threads", "SHA-256 right", "critical", "high", "medium", "low", "3 completed"):
        assert word in screen.getvalue()


def test_a_demo_whose_file_is_not_the_promised_one_fails_and_says_so(stack: Addresses) -> None:
    assert stack.api
    with serving(MIB, 100 * MIB) as origin:
        origin.sha256 = "0" * 64
        with pytest.raises(DemoFailedError, match="failed"):
            perform(Api(stack.api), origin, Path(stack.download_root), Console(file=io.StringIO()))


def test_the_command_brings_its_own_stack_exits_0_and_leaves_nothing_running() -> None:
    command = [*UP[:2], "demo", "--fresh"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        first = demo.stdout.readline()
        family = psutil.Process(demo.pid).children(recursive=True)
        rest = demo.stdout.read()
        assert demo.wait(60) == 0, first + rest
    assert "What happened" in rest
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
