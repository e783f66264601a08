"""What a new job waits for. Only jobs that exist can be named, or earlier ones of the call: so no circle can be."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from jobs.models import FINISHED, Dependency, Job, Needs, State
from jobs.submission import Fault, InvalidSubmission, Submission


def lock_parents(jobs: Mapping[uuid.UUID, Submission], new: AbstractSet[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The states of all existing jobs that these wait for. None of them ends before our transaction does.

    `new`: the jobs of the same call.

    Raises InvalidSubmission for one that does not exist, or that has ended in a way that does not fit.
    """
    named = {parent for one in jobs.values() for parent in one.depends_on} - new
    if not named:
        return {}
    rows = Job.objects.filter(id__in=named).order_by("id").select_for_update(no_key=True)
    states = dict(rows.values_list("id", "state"))
    faults = [
        Fault(f"/depends_on/{place}", fault)
        for one in jobs.values()
        for place, parent in enumerate(one.depends_on)
        if parent not in new and (fault := _fault(parent, states.get(parent), one.needs))
    ]
    if faults:
        raise InvalidSubmission(*faults)
    Job.objects.filter(id__in=[one for one, state in states.items() if state not in FINISHED]).update(followed=True)
    return states


def _fault(parent: uuid.UUID, state: str | None, needs: Needs) -> str:
    if state is None:
        return f"there is no job {parent}"
    if needs is Needs.SUCCESS and state in (State.FAILED, State.CANCELLED):
        return f"job {parent} is {state}, so this one would never run"
    return ""


def bind(jobs: Mapping[uuid.UUID, Submission], states: Mapping[uuid.UUID, str]) -> None:
    """Write down who waits for whom, the jobs themselves being written."""
    Dependency.objects.bulk_create(
        [
            Dependency(child_id=one_id, parent_id=parent, needs=one.needs, met=states.get(parent) in FINISHED)
            for one_id, one in jobs.items()
            for parent in dict.fromkeys(one.depends_on)
        ],
        batch_size=2000,
    )


def blocked(jobs: Mapping[uuid.UUID, Submission], states: Mapping[uuid.UUID, str]) -> set[uuid.UUID]:
    """Those that must wait. A parent without a state is one of the same call."""
    return {
        one_id for one_id, one in jobs.items() if any(states.get(parent) not in FINISHED for parent in one.depends_on)
    }
