"""What is recorded, a module for each subject. Everybody imports from here.

Times come from the database's clock alone, so that nodes whose clocks disagree still agree on what is due or late.
"""

from __future__ import annotations

from jobs.models.answers import Answer
from jobs.models.crawling import CrawledPage, WebHost
from jobs.models.fleet import Leadership, Lock, Node
from jobs.models.flow import Batch, Dependency, Ended, Needs
from jobs.models.gates import Gate, Permit, Scope
from jobs.models.job import (
    FINISHED,
    LIVE,
    RESULT_KEPT_UNTIL,
    WAITING,
    Admission,
    Attempt,
    Job,
    Lane,
    Outcome,
    Priority,
    Reason,
    State,
    uuid7,
)
from jobs.models.joblog import LogLine
from jobs.models.notices import Notice
from jobs.models.operations import Operation, Progress, Target
from jobs.models.schedules import Fire, FireOutcome, Misfire, Overlap, Schedule
from jobs.models.tally import Moment, Tally, Total

__all__ = [
    "FINISHED",
    "LIVE",
    "RESULT_KEPT_UNTIL",
    "WAITING",
    "Admission",
    "Answer",
    "Attempt",
    "Batch",
    "CrawledPage",
    "Dependency",
    "Ended",
    "Fire",
    "FireOutcome",
    "Gate",
    "Job",
    "Lane",
    "Leadership",
    "Lock",
    "LogLine",
    "Misfire",
    "Moment",
    "Needs",
    "Node",
    "Notice",
    "Operation",
    "Outcome",
    "Overlap",
    "Permit",
    "Priority",
    "Progress",
    "Reason",
    "Schedule",
    "Scope",
    "State",
    "Tally",
    "Target",
    "Total",
    "WebHost",
    "uuid7",
]
