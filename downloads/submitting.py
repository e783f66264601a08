"""How downloads get in: one, or a list with an answer for each."""

from __future__ import annotations

from downloads.shapes import DownloadSubmission
from jobs import lifecycle
from jobs.models import Job
from jobs.submission import Fault, InvalidSubmission


def submit(given: DownloadSubmission) -> Job:
    """Check and submit one download. Raises InvalidSubmission, whose faults point into the body."""
    try:
        return lifecycle.submit("download", given.payload(), **given.options())
    except InvalidSubmission as error:
        # To this door's clients the payload is the body itself.
        raise InvalidSubmission(
            *(Fault(fault.pointer.removeprefix("/payload"), fault.detail) for fault in error.faults)
        ) from error
