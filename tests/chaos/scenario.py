"""What a scenario is, what it may promise, and what it finds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from tests.chaos import verdict
from tests.chaos.actor import Actor
from tests.chaos.load import Load
from tests.chaos.stage import AS_ALL, Broken, Environment, Stage

WINDOW = 8.0  # seconds over which throughput is taken, or longer, until as many jobs are done as it takes to tell
LEAST_JOBS = 100
GLANCE = 2.0  # seconds instead, where throughput is not asked for
WINDOWS_AFTER = 3  # tries: on a machine that others use too, noise only ever slows
LEAST_RATIO = 0.98
_SECONDS_TO_START = 60.0
_SECONDS_TO_DRAIN = 90.0
SLOTS = 8  # of each of two workers


@dataclass
class Finding:
    """One row of the table; as JSON, one object of the report."""

    scenario: str
    count: verdict.Count = field(default_factory=verdict.Count)
    recovery: float | None = None  # seconds
    bound: float | None = None  # seconds
    ratio: float | None = None  # throughput after ÷ before
    before: float | None = None  # jobs a second
    ratio_promised: bool = False
    seconds: float = 0.0  # that the scenario took
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def kept(self) -> bool:
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"kept": self.kept}


class Skip(Exception):
    """The machine has not what the scenario needs; the message says what."""


@dataclass(frozen=True)
class Scenario:
    name: str
    module: str
    title: str
    play: Callable[[Play], None]
    bound: (
        float | None
    )  # seconds within which the platform must have recovered: DESIGN, "What happens when things break"
    steady: bool  # throughput must come back to what it was
    short: bool  # part of the short form

    def run(self, stage: Stage, *, throughput: bool) -> Finding:
        finding = Finding(self.title, bound=self.bound, ratio_promised=self.steady and throughput)
        began = time.monotonic()
        play = Play(stage, finding, throughput=throughput)
        try:
            self.play(play)
            play.finish()
        except Skip as reason:
            finding.skipped = str(reason)
            return finding
        except Broken as broken:
            finding.broken.append(str(broken))
        finally:
            play.load.stop()
        finding.count = verdict.count(stage, play.load)
        finding.broken += finding.count.faults
        if self.bound is not None and (finding.recovery or 0) > self.bound:
            finding.broken.append(f"recovery took {finding.recovery:.1f} s, more than {self.bound:g} s")
        if finding.ratio_promised and (finding.ratio or 0) < LEAST_RATIO:
            finding.broken.append(f"throughput came back to {finding.ratio or 0:.3f} only")
        finding.seconds = time.monotonic() - began
        return finding


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    title: str, *, bound: float | None = None, steady: bool = False, short: bool = False
) -> Callable[[Callable[[Play], None]], Callable[[Play], None]]:
    """Make a function a scenario. Its name is its name on the command line."""

    def register(play: Callable[[Play], None]) -> Callable[[Play], None]:
        SCENARIOS[play.__name__] = Scenario(play.__name__, play.__module__, title, play, bound, steady, short)
        return play

    return register


class Play:
    """What a scenario has in hand: the stage, the load, and the row that it fills in."""

    def __init__(self, stage: Stage, finding: Finding, *, throughput: bool) -> None:
        self._throughput = throughput
        self.stage = stage
        self.finding = finding
        self.load = Load(stage.ledger)
        self.workers: list[Actor] = []
        self.io: Actor | None = None
        self.dispatchers: list[Actor] = []
        with psycopg.connect(stage.postgres_url, autocommit=True) as connection:
            connection.execute(verdict.WITNESS)

    def open(
        self, *, workers: int = 2, slots: int = SLOTS, io_slots: int = 16, environment: Environment = AS_ALL
    ) -> None:
        """Start compute workers, an io worker and two dispatchers, and wait until they are at work."""
        stage = self.stage
        self.load.backlog = 5 * workers * slots
        self.workers = [
            stage.worker(f"compute-{one + 1}", slots=slots, environment=environment) for one in range(workers)
        ]
        self.io = stage.worker("io", slots=io_slots, io=True, environment=environment) if io_slots else None
        self.dispatchers = [stage.dispatcher(f"dispatcher-{one + 1}", environment=environment) for one in range(2)]
        self.until_nodes(workers + bool(io_slots))
        stage.until(self.leader, _SECONDS_TO_START, "a dispatcher leads")

    def until_nodes(self, number: int) -> None:
        self.stage.until(
            lambda: self.stage.one("SELECT count(*) FROM jobs_node WHERE expires_at > now()") >= number,
            _SECONDS_TO_START,
            f"{number} workers are alive",
        )

    def leader(self) -> Actor | None:
        """The dispatcher that leads."""
        holder = self.stage.rows("SELECT holder FROM jobs_leadership WHERE expires_at > now()")
        return next((one for one in self.dispatchers if holder and holder[0][0].endswith(f"-{one.pid}")), None)

    def term(self) -> int:
        return int(self.stage.one("SELECT coalesce(max(term), 0) FROM jobs_leadership"))

    def until_state(self, state: str, ids: Sequence[uuid.UUID], seconds: float) -> None:
        """Wait until all these jobs are in that state."""
        self.stage.until(
            lambda: self.stage.count("id = ANY(%s) AND state = %s", list(ids), state) == len(ids),
            seconds,
            f"{len(ids)} jobs are {state}",
        )

    def promise(self, met: object, promise: str) -> None:
        if not met:
            self.finding.broken.append(f"broken: {promise}")

    def note(self, text: str) -> None:
        self.finding.notes.append(text)

    # --- throughput --------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load every slot and wait until work flows."""
        self.load.start()
        self.until_completed(self.load.backlog // 2, 60)

    def until_completed(self, more: int, seconds: float) -> None:
        goal = self.completed() + more
        self.stage.until(lambda: self.completed() >= goal, seconds, f"{more} more jobs are completed")

    def completed(self) -> int:
        return self.stage.count("state = 'completed'")

    def measure_before(self) -> None:
        rate = self._measure()
        if self._throughput:
            self.finding.before = rate

    def measure_after(self) -> None:
        """Compare with before. A window that others' noise has slowed is followed by another, up to three."""
        best = self._measure()
        if self.finding.before is None:
            return
        for _ in range(WINDOWS_AFTER - 1):
            if best >= LEAST_RATIO * self.finding.before:
                break
            best = max(best, self._measure())
        self.finding.ratio = round(best / self.finding.before, 3)

    def _measure(self) -> float:
        """Jobs a second, by the database's clock."""
        began, ended, done = self._clock(), 0.0, 0
        window, least = (WINDOW, LEAST_JOBS) if self._throughput else (GLANCE, 0)
        while (ended := self._clock()) < began + window or (done < least and ended < began + 6 * window):
            time.sleep(0.1)
            done = self._done_between(began, ended)
        return max(1, self._done_between(began, ended)) / (ended - began)

    def _done_between(self, began: float, ended: float) -> int:
        return self.stage.count(
            "state = 'completed' AND lane = 'compute'"
            " AND finished_at >= to_timestamp(%s) AND finished_at < to_timestamp(%s)",
            began,
            ended,
        )

    def _clock(self) -> float:
        return float(self.stage.one("SELECT extract(epoch FROM clock_timestamp())"))

    # --- recovery ----------------------------------------------------------------------------------------------------

    def recovered(self, seconds: float) -> None:
        """Note the time from fault to recovery; of several faults, the longest counts."""
        self.finding.recovery = max(self.finding.recovery or 0.0, seconds)

    def held_by(self, name: str) -> list[Any]:
        """(job, attempt) of what runs on a worker now."""
        return self.stage.rows(
            "SELECT job.id, job.attempt FROM jobs_job job JOIN jobs_node node ON node.id = job.node_id"
            " WHERE job.state = 'running' AND node.name LIKE %s",
            f"{name}@%",
        )

    def until_taken_over(self, held: Sequence[tuple[Any, int]], seconds: float) -> float:
        """Wait until each of those attempts is over and its job begun again or finished. Returns the seconds."""
        numbers = dict(held)

        def waiting() -> bool:
            rows = self.stage.rows("SELECT id, state, attempt FROM jobs_job WHERE id = ANY(%s)", list(numbers))
            return any(state not in verdict.FINISHED and attempt == numbers[job_id] for job_id, state, attempt in rows)

        return self.stage.until(lambda: not waiting(), seconds, "what the dead held runs again or is done")

    def until_work_flows(self) -> None:
        """Until a job starts that had not started by now, when what was away has come back."""
        clock = self.stage.one("SELECT now()")
        self.recovered(self.stage.until(lambda: self.stage.count("started_at > %s", clock) > 0, 60, "work flows again"))

    def finish(self) -> None:
        """Stop submitting and let everything be done."""
        self.load.stop()
        self.stage.until(lambda: verdict.unfinished(self.stage) == 0, _SECONDS_TO_DRAIN, "every job comes to its end")
