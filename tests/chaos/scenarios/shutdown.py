"""Workers that are told to stop: in the middle of their work, and in the moment when they take some."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.db import connection

from tests.chaos import ledger
from tests.chaos.nursery import Forked
from tests.chaos.scenario import Play, scenario
from tests.chaos.stage import worker_words

_DRAIN = 6.0  # seconds
_TIMES = 200
_SPREAD = 4  # times the typical latency from submission to claim: SIGTERM comes anywhere in it
_QUEUES = ("critical", "high", "medium", "low")


@scenario("SIGTERM under load: short, long and deaf jobs", bound=_DRAIN + 2, steady=True)
def worker_terminated(play: Play) -> None:
    play.open(environment={"DRAIN_SECONDS": str(_DRAIN)})
    play.warm_up()
    play.measure_before()
    urgent = {"priority": "critical"}
    long = play.load.submit(8, seconds=10, checkpoint=True, options=urgent)
    long += play.load.submit(4, seconds=10, deaf=True, options=urgent)
    begun = {str(job_id) for job_id in long}  # a job may be claimed a moment before its slot is free for it
    play.stage.until(lambda: begun <= ledger.runs(play.stage.ledger).keys(), 30, "the long jobs have begun")
    worker = play.workers[0]
    stopped = {job_id for job_id, _ in play.held_by(worker.name)} & set(long)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    try:
        code = worker.wait(_DRAIN + 20)
    except subprocess.TimeoutExpired:
        code = None
    play.recovered(time.monotonic() - began)
    play.promise(code == 0, f"a worker that is told to stop exits with 0 (it was {code})")
    if code is not None:
        worker.start()
    play.until_state("completed", long, 60)  # while they last they keep slots from the jobs that are counted
    play.measure_after()
    outcomes = Counter(
        row[0]
        for row in play.stage.rows(
            "SELECT outcome FROM jobs_attempt WHERE job_id = ANY(%s) AND outcome <> 'completed'", list(stopped)
        )
    )
    burnt = play.stage.count("id = ANY(%s) AND failures + crashes + losses > 0", list(stopped))
    play.promise(
        outcomes == {"released": len(stopped)}, f"long jobs are given back ({dict(outcomes)} of {len(stopped)})"
    )
    play.promise(burnt == 0, "a release burns no attempt")


@scenario("SIGTERM while a message is fetched, 200 times")
def terminated_while_fetching(play: Play) -> None:
    """One job for an idle worker, and SIGTERM at a moment between its submission and well after its claim."""
    play.open(workers=0, io_slots=0)
    hits: Counter[str] = Counter()
    with ThreadPoolExecutor(len(_QUEUES)) as threads:
        latency = statistics.median(threads.map(partial(_typical_latency, play), _QUEUES))
        for found in threads.map(partial(_terminate, play, _TIMES // len(_QUEUES), latency), _QUEUES):
            hits += found
    for queue in _QUEUES:
        _ready_worker(play, queue)
    play.finish()
    codes = {key: number for key, number in hits.items() if key.startswith("exit")}
    play.promise(codes == {"exit 0": _TIMES}, f"each exits with 0: {codes}")
    play.note(
        f"{_TIMES} times, up to {_SPREAD * latency * 1000:.0f} ms after the submission: {hits['before']} before the "
        f"message was taken, {hits['between']} with it in hand and unclaimed, {hits['after']} after the claim"
    )


def _ready_worker(play: Play, queue: str) -> Forked:
    """A worker of that queue alone, which waits for a message."""
    stage = play.stage
    forked = stage.nursery.start(worker_words(queue, "threads", 2, queue), stage.logs / f"{queue}.log")
    stage.until(forked.ready.is_set, 60, "a worker takes messages")
    return forked


def _typical_latency(play: Play, queue: str) -> float:
    """Seconds from submission to claim, with nothing in the way."""
    worker = _ready_worker(play, queue)
    ids = []
    for _ in range(5):  # one after the other, as below
        ids += play.load.submit(1, options={"priority": queue})
        play.until_state("completed", ids, 30)
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(60)
    connection.close()
    rows = play.stage.rows(
        "SELECT extract(epoch FROM started_at - created_at)::float FROM jobs_job WHERE id = ANY(%s)", ids
    )
    return float(statistics.median(row[0] for row in rows))


def _terminate(play: Play, times: int, latency: float, queue: str) -> Counter[str]:
    """Returns how often each exit code was seen, and how far the message had come."""
    hits: Counter[str] = Counter()
    for _ in range(times):
        worker = _ready_worker(play, queue)
        (job,) = play.load.submit(1, options={"priority": queue})
        threading.Event().wait(random.uniform(0, _SPREAD * latency))
        os.kill(worker.pid, signal.SIGTERM)
        hits[f"exit {worker.wait(60)}"] += 1
        if play.stage.count("id = %s AND attempt > 0", job):
            hits["after"] += 1
        else:
            hits["before" if play.stage.redis.llen(queue) else "between"] += 1
    connection.close()
    return hits
