"""Workers and their pool processes, killed and frozen."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.scenario import Play, scenario

LEASE = 15.0  # the setting's default, which these scenarios run with


@scenario("every pool child of a worker killed, one by one", bound=30, steady=True)
def pool_children_killed(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    worker = play.workers[0]
    for child in worker.children():
        held = play.held_by(worker.name)
        os.kill(child, signal.SIGKILL)
        play.recovered(play.until_taken_over(held, 60))
    play.measure_after()
    crashes = play.stage.rows("SELECT error FROM jobs_attempt WHERE outcome = 'crashed'")
    silent = [error for (error,) in crashes if "signal 9" not in error]
    play.promise(crashes and not silent, f"the attempt says how its process died: {silent[:1]}")
    play.note(f"{len(crashes)} attempts crashed, each with its signal")


@scenario("worker killed, its children left", bound=30, steady=True, short=True)
def worker_killed(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    worker = play.workers[0]
    held = play.held_by(worker.name)
    worker.kill()
    began = time.monotonic()
    worker.start()
    play.until_taken_over(held, 60)
    play.recovered(time.monotonic() - began)
    play.measure_after()


@scenario("all workers killed", bound=30, steady=True)
def all_workers_killed(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    workers = [*play.workers, *filter(None, [play.io])]
    held = [one for worker in workers for one in play.held_by(worker.name)]
    for worker in workers:
        worker.kill_all()
    began = time.monotonic()
    for worker in workers:
        worker.start()
    play.until_taken_over(held, 60)
    play.recovered(time.monotonic() - began)
    play.measure_after()


@scenario("worker frozen past its lease, then thawed", bound=30, steady=True)
def worker_frozen(play: Play) -> None:
    """Its attempts come back to life while their successors run: whatever they do now must change nothing."""
    play.open()
    play.warm_up()
    play.measure_before()
    urgent = {"priority": "critical"}
    for deaf, tell in ((False, False), (True, False), (True, True)):
        play.load.submit(4, seconds=5, options=urgent, deaf=deaf, tell=tell)
    play.stage.until(lambda: play.stage.count("state = 'running' AND priority = 3") == 12, 20, "urgent jobs start")
    worker = play.workers[0]
    held = play.held_by(worker.name)
    worker.freeze()
    play.recovered(play.until_taken_over(held, 60))
    worker.thaw()
    play.measure_after()
    play.note(f"{len(held)} attempts came back late")


@scenario("all workers frozen past their lease, then thawed", bound=30, steady=True)
def all_workers_frozen(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    workers = [*play.workers, *filter(None, [play.io])]
    held = [one for worker in workers for one in play.held_by(worker.name)]
    for worker in workers:
        worker.freeze()
    play.stage.until(lambda: play.stage.count("state = 'running'") == 0, LEASE + 15, "all leases run out")
    for worker in workers:
        worker.thaw()
    play.recovered(play.until_taken_over(held, 60))
    play.measure_after()


@scenario("pool child frozen past the lease, then thawed; a job longer than the lease", steady=True)
def pool_child_frozen(play: Play) -> None:
    """Its worker lives, so nothing may be taken from it: neither from the frozen child nor from one that takes long."""
    play.open()
    play.warm_up()
    play.measure_before()
    long = play.load.submit(2, seconds=LEASE + 10, options={"priority": "critical"})
    long += play.load.submit(1, kind="chaos.wait", seconds=LEASE + 10, options={"priority": "critical"})
    child = play.workers[0].children()[0]
    os.kill(child, signal.SIGSTOP)
    play.until_state("completed", long, LEASE + 30)
    os.kill(child, signal.SIGCONT)
    play.measure_after()
    again = play.stage.one("SELECT count(*) FROM jobs_attempt WHERE outcome = 'lost'")
    play.promise(again == 0, "no attempt is taken from a worker that lives")
