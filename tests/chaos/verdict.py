"""What became of every job, counted from three witnesses that know nothing of each other.

The rows say how each job ended. Triggers of ours, on the table of jobs, have written down every statement that ended
one, and all progress that a late attempt wrote. The ledger has a line for every run of a handler.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos import ledger
from tests.chaos.load import Fate, Load

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

FINISHED = ("completed", "failed", "cancelled")

WITNESS = """
CREATE TABLE chaos_end (job_id uuid NOT NULL, state text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION chaos_note_end() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN INSERT INTO chaos_end (job_id, state) VALUES (NEW.id, NEW.state); RETURN NULL; END$$;
CREATE TRIGGER chaos_end AFTER UPDATE ON jobs_job FOR EACH ROW
WHEN (NEW.state IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION chaos_note_end();
CREATE TABLE chaos_stray (job_id uuid NOT NULL, note text NOT NULL);
CREATE FUNCTION chaos_note_stray() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN INSERT INTO chaos_stray VALUES (NEW.id, NEW.progress ->> 'note'); RETURN NULL; END$$;
CREATE TRIGGER chaos_stray AFTER UPDATE OF progress ON jobs_job FOR EACH ROW
WHEN (NEW.kind LIKE 'chaos.%' AND NEW.progress ->> 'note' <> 'attempt ' || NEW.attempt)
EXECUTE FUNCTION chaos_note_stray();
"""


@dataclass
class Count:
    """The numbers of one scenario's row in the table, and what is wrong with them in words."""

    jobs: int = 0
    completed_once: int = 0
    lost: int = 0
    finished_twice: int = 0
    runs_beyond_one: int = 0
    faults: list[str] = field(default_factory=list)


def unfinished(stage: Stage) -> int:
    return stage.count("NOT state = ANY(%s)", list(FINISHED))


def count(stage: Stage, load: Load) -> Count:
    rows = {
        row[0]: row[1:]
        for row in stage.rows(
            """
            SELECT job.id, job.state, job.attempt, (job.result ->> 'attempt')::int,
                   (SELECT count(*) FROM jobs_attempt WHERE job_id = job.id),
                   (SELECT count(*) FROM chaos_end WHERE job_id = job.id)
            FROM jobs_job job
            """
        )
    }
    runs = ledger.runs(stage.ledger)
    found = Count(jobs=len(rows.keys() | load.fates.keys()))
    wrong: Counter[str] = Counter()
    for job_id in rows.keys() | load.fates.keys():
        _judge(found, wrong, rows.get(job_id), runs[str(job_id)], _fate(load, job_id))
    found.faults += [f"{number} jobs {what}" for what, number in wrong.items()]
    if strays := stage.one("SELECT count(*) FROM chaos_stray"):
        found.faults.append(f"progress was written {strays} times by an attempt that no longer held its job")
    twice = "SELECT 1 FROM jobs_job WHERE metadata ? 'told_by' GROUP BY metadata ->> 'told_by' HAVING count(*) > 1"
    if told := len(stage.rows(twice)):
        found.faults.append(f"{told} jobs told of their end more than once")
    if strangers := runs.keys() - {str(job_id) for job_id in rows}:
        found.faults.append(f"{len(strangers)} jobs ran that are in no row")
    return found


def _fate(load: Load, job_id: uuid.UUID) -> Fate:
    """A row whose submission we never heard back of, because Postgres went away, must be done as any other."""
    return load.fates.get(job_id, Fate())


def _judge(
    found: Count, wrong: Counter[str], row: tuple[str, int, int | None, int, int] | None, runs: int, fate: Fate
) -> None:
    if row is None:
        found.lost += 1
        wrong["have vanished from the table"] += 1
        return
    state, attempt, result_of, attempts, ends = row
    if state not in FINISHED:
        found.lost += 1
        wrong[f"were still {state} when all should be over"] += 1
        return
    ran = runs > 0 or fate.runs == 0  # kinds that keep no ledger are not asked for it
    if state == "completed" and not ran:
        found.lost += 1
        wrong["are completed and never ran"] += 1
    if ends > 1:
        found.finished_twice += 1
        wrong["were finished more than once"] += 1
    if state != fate.state:
        wrong[f"ended {state} instead of {fate.state}"] += 1
    if attempts != attempt:
        wrong["have a history that does not match their number of attempts"] += 1
    if result_of is not None and result_of != attempt:
        wrong["carry the result of an attempt that was not their last"] += 1
    if state == "completed" and ends == 1 and ran:
        found.completed_once += 1
    found.runs_beyond_one += max(0, runs - fate.runs)
