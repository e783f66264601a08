"""Jobs that harm their worker: that end its process, eat its memory, or do not listen."""

from __future__ import annotations

from tests.chaos.load import Fate
from tests.chaos.scenario import Play, scenario

_CRASH_BUDGET = 3  # the setting's default
_GOOD = 500
_TIMEOUT = 2.0
_MEGABYTES = 400


@scenario("poison job that aborts its process, among 500 good ones of its kind", short=True)
def poison(play: Play) -> None:
    play.open(slots=4, io_slots=0)
    play.load.submit(50)  # so that the pace of the kind is known, and the good travel together with the poison
    play.until_completed(50, 60)
    good = play.load.submit(_GOOD // 2)
    (bad,) = play.load.submit(1, abort=True, fate=Fate("failed", _CRASH_BUDGET))
    good += play.load.submit(_GOOD - len(good))
    play.until_state("failed", [bad], 90)
    play.finish()
    reason, error = play.stage.rows("SELECT reason, error FROM jobs_job WHERE id = %s", bad)[0]
    hurt = play.stage.count("id = ANY(%s) AND failures + crashes + losses > 0", good)
    together = play.stage.one("SELECT count(*) FROM jobs_attempt WHERE job_id = ANY(%s) AND outcome = 'released'", good)
    play.promise(reason == "worker_lost", f"the poison fails as worker_lost (it was {reason!r}: {error})")
    play.promise(hurt == 0, f"no good job loses an attempt ({hurt} did)")
    play.note(f"{together} good jobs stood beside it and were given back; its error: {error}")


@scenario("job that eats its memory limit")
def memory_eaten(play: Play) -> None:
    play.open(slots=2, environment={"MAX_MEMORY_MB": str(_MEGABYTES)})
    play.warm_up()
    (eater,) = play.load.submit(
        1, eat_megabytes=4 * _MEGABYTES, options={"max_retries": 1, "priority": "high"}, fate=Fate("failed", 2)
    )
    play.until_state("failed", [eater], 60)
    play.until_completed(50, 60)
    error = play.stage.one("SELECT error FROM jobs_job WHERE id = %s", eater)
    play.promise(f"{_MEGABYTES} MB" in error, f"the attempt says which limit it met: {error!r}")
    play.note(error)


@scenario("handler stuck in C code, past its time limit", bound=5)
def stuck(play: Play) -> None:
    _stick(play, "chaos.work")
    play.stage.until(lambda: len(play.workers[0].children()) == 2, 30, "the slot is free again")


@scenario("handler stuck in C code in a thread, past its time limit", bound=5)
def stuck_in_thread(play: Play) -> None:
    _stick(play, "chaos.wait")


def _stick(play: Play, kind: str) -> None:
    play.open(workers=1, slots=2, io_slots=4)
    play.warm_up()
    (job,) = play.load.submit(
        1,
        kind=kind,
        stuck=True,
        options={"timeout": _TIMEOUT, "max_retries": 0, "priority": "critical"},
        fate=Fate("failed"),
    )
    play.until_state("failed", [job], 60)
    play.recovered(
        play.stage.one(
            "SELECT extract(epoch FROM finished_at - started_at)::float FROM jobs_attempt WHERE job_id = %s", job
        )
        - _TIMEOUT
    )
    reason = play.stage.one("SELECT reason FROM jobs_job WHERE id = %s", job)
    play.promise(reason == "timed_out", f"it fails as timed_out (it was {reason!r})")
    if play.io is not None and not play.io.alive():
        play.io.start()
    play.until_completed(30, 60)
