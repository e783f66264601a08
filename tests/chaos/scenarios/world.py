"""What is around the platform: its front door, the disk, and the clocks."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.chaos.load import Fate
from tests.chaos.scenario import Play, Skip, scenario
from tests.origins.files import FileOrigin, content

_SKEWED = Path(__file__).resolve().parent.parent / "skew"  # the code that makes a process's clock wrong
_SKEW = 300  # seconds
_MEGABYTE = 1024 * 1024
_DISK = 96  # MB
_BIG = 64


@scenario("web killed between commit and answer, five times")
def web_killed(play: Play) -> None:
    """A submission is one statement. With Postgres' answer to it held back there is time to see the committed row, and
    to kill the process before it hears of its commit.
    """
    road, port = play.stage.road_to_postgres(), play.stage.free_port()
    play.open(workers=1, io_slots=0)
    web = play.stage.web(port, {"POSTGRES_URL": play.stage.postgres_by(road)})
    answers: list[int | None] = []
    for number in range(5):
        play.stage.until(lambda: _answers(port), 60, "the web is up")
        before = play.stage.count("TRUE")
        road.hold_answer_to(b"INSERT INTO jobs_job")
        client = threading.Thread(target=_post, args=(port, number, answers))
        client.start()
        play.stage.until(partial(_submitted_since, play, before), 10, "the submission is committed")
        web.kill()
        client.join()
        road.restore()
        web.start()
    play.promise(answers == [None] * 5, f"it was killed before it answered ({answers})")
    kept = play.stage.count("kind = 'chaos.work' AND metadata ? 'number'")
    play.promise(kept == 5, f"each committed submission is a job ({kept} of 5)")


@scenario("clocks of workers and dispatchers ten minutes apart", bound=10, steady=True)
def clocks_apart(play: Play) -> None:
    fast, slow = ({"PYTHONPATH": str(_SKEWED), "CHAOS_SKEW_SECONDS": str(seconds)} for seconds in (_SKEW, -_SKEW))
    stage = play.stage
    play.load.backlog = 80
    play.workers = [stage.worker("compute-1", slots=8, environment=fast)]
    play.workers += [stage.worker("compute-2", slots=8, environment=slow)]
    play.io = stage.worker("io", slots=16, io=True)
    play.dispatchers = [stage.dispatcher("dispatcher-1", fast)]
    play.until_nodes(3)
    stage.until(play.leader, 60, "a dispatcher leads")
    play.dispatchers += [stage.dispatcher("dispatcher-2", slow)]
    play.warm_up()
    play.measure_before()
    apart = _clock_of(stage.logs / "dispatcher-1.log") - _clock_of(stage.logs / "dispatcher-2.log")
    play.note(f"the dispatchers' clocks were {apart / 60:.0f} minutes apart, by what they logged")
    play.promise(apart > _SKEW, "the clocks are really apart")
    term = play.term()
    play.dispatchers[0].kill()  # its successor's clock is ten minutes behind
    began = time.monotonic()
    ids = play.load.submit(1, options={"priority": "critical"})
    stage.until(lambda: stage.count("id = %s AND started_at IS NOT NULL", ids[0]), 60, "dispatch goes on")
    play.recovered(time.monotonic() - began)
    play.measure_after()
    play.promise(play.term() == term + 1, "the lead changed hands once")
    taken = stage.one("SELECT count(*) FROM jobs_attempt WHERE outcome IN ('lost', 'released')")
    play.promise(taken == 0, f"no lease is taken early ({taken} were)")


@scenario("disk full during a download")
def disk_full(play: Play) -> None:
    if os.geteuid() != 0:
        raise Skip("mounting a small disk needs root")
    downloads = play.stage.directory / "downloads"
    downloads.mkdir()
    with (
        _small_disk(downloads),
        FileOrigin(content(_BIG * _MEGABYTE)) as big_origin,
        FileOrigin(content(_MEGABYTE)) as small_origin,
    ):
        play.open(workers=0, environment={"DOWNLOAD_RESERVE_BYTES": "0"})  # the small ones shall fit
        filler = downloads / "filler"
        filler.write_bytes(bytes((_DISK - _BIG // 2) * _MEGABYTE))
        (big,) = play.load.submit(1, kind="download", fate=Fate(runs=0), url=big_origin.url("/big.bin"))
        held = "id = %s AND state IN ('paused', 'scheduled') AND error <> ''"
        play.stage.until(lambda: play.stage.count(held, big), 60, "the download stops and says why")
        play.note(str(play.stage.one("SELECT error FROM jobs_job WHERE id = %s", big)))
        small = []
        for number in range(5):
            url = small_origin.url(f"/small-{number}.bin")
            small += play.load.submit(1, kind="download", fate=Fate(runs=0), url=url)
        play.until_state("completed", small, 60)  # while the disk is still as full
        filler.unlink()
        play.until_state("completed", [big], 60)  # by itself: there is room again
        for (looked,) in play.stage.rows("SELECT id FROM jobs_job WHERE kind = 'resume_downloads'"):
            play.load.fates[looked] = Fate(runs=0)  # the platform's own, which keeps no ledger
        play.finish()


def _clock_of(log: Path) -> float:
    """What a dispatcher that has just started believed the time to be: beat prints it."""
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("LocalTime -> ")]
    return datetime.strptime(line.removeprefix("LocalTime -> ").strip(), "%Y-%m-%d %H:%M:%S").timestamp()  # noqa: DTZ007


@contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK}m", "chaos", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Skip(f"a small disk could not be mounted: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health")
        return connection.getresponse().status > 0
    return False


def _submitted_since(play: Play, known: int) -> bool:
    return play.stage.count("TRUE") > known


def _post(port: int, number: int, answers: list[int | None]) -> None:
    """Submit a job over HTTP; note the status of the answer, none where the connection ended before there was one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = json.dumps({"kind": "chaos.work", "payload": {}, "metadata": {"number": number}})
    try:
        connection.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/json"})
        answers.append(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        answers.append(None)
